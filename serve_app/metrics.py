"""The registry's Prometheus series; Ray exports them on every node as ``ray_labelworks_…``.

They are derived from job records as these change, so a retry or a restart counts nothing twice. No series is labelled
with a job or an account: there are any number of both.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Collection
from typing import get_args

from ray.util.metrics import Counter, Gauge, Histogram

from pipelines.job import CANCELLED, JobRecord, Phase
from pipelines.work import Work

_SECONDS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0]


class ServiceMetrics:
    """Lives in the registry, which hears of everything; its death resets the counters, as Prometheus expects."""

    def __init__(self) -> None:
        self._jobs = Gauge("labelworks_jobs", "Processing jobs, by what they are at.", tag_keys=("phase",))
        self._ended = Counter(
            "labelworks_jobs_ended",
            "Jobs that ended: completed, rejected (by what their client sent), failed (by all else), cancelled.",
            tag_keys=("result",),
        )
        self._waited = Histogram(
            "labelworks_queue_wait_seconds", "From a job's start until a driver has it.", boundaries=_SECONDS
        )
        self._took = Histogram(
            "labelworks_phase_seconds", "How long jobs were scanning, classifying, writing.", _SECONDS, ("phase",)
        )
        self._items = Counter("labelworks_items", "Items answered, with a label or an error.", tag_keys=("outcome",))
        self._tokens = Counter("labelworks_tokens", "Tokens of completed jobs.")
        self._errors = Counter("labelworks_item_errors", "Items answered with an error, by code.", tag_keys=("code",))
        self._retries = Counter("labelworks_range_retries", "Ranges tried again since their process had died.")
        self._busy = Counter("labelworks_classifier_busy_seconds", "Seconds in which classifiers were classifying.")
        self._deaths = Counter("labelworks_driver_deaths", "Drivers that died or fell silent, and were replaced.")
        self._classifiers = Gauge(
            "labelworks_classifiers", "Classifiers that jobs hold now, and that there may be.", tag_keys=("kind",)
        )
        self._drivers = Gauge("labelworks_drivers", "Drivers that work on a job.")
        self._entered: dict[str, float] = {}
        self._heard: dict[str, tuple[int, Work]] = {}

    def standing(self, active: Collection[JobRecord], held: int, slots: int, drivers: int) -> None:
        """How things are now: the processing jobs, the classifiers they hold, those that there may be."""
        now = Tally(job.phase for job in active)
        for phase in get_args(Phase):
            self._jobs.set(now[phase], {"phase": phase})
        self._classifiers.set(held, {"kind": "held"})
        self._classifiers.set(slots, {"kind": "possible"})
        self._drivers.set(drivers)

    def changed(self, before: JobRecord | None, after: JobRecord) -> None:
        """The record of a job that is or was processing changed. ``before`` is None where nothing was known."""
        if before is None:
            if after.status == "processing":
                self._entered[after.job_id] = time.monotonic()
            return
        if before.phase != after.phase:
            self._phase_ended(before)
            self._entered[after.job_id] = time.monotonic()
        if after.driver_deaths > before.driver_deaths:
            self._deaths.inc(after.driver_deaths - before.driver_deaths)
        self._answered("classified", after.requests_completed - before.requests_completed)
        self._answered("error", after.requests_failed - before.requests_failed)
        if after.status != "processing":
            self._entered.pop(after.job_id, None)
            self._heard.pop(after.job_id, None)
            self._ended.inc(1, {"result": _result(after)})
            if after.actual_tokens:
                self._tokens.inc(after.actual_tokens)

    def worked(self, job: JobRecord, total: Work) -> None:
        """The driver of ``job.run`` reports what its classifiers have done so far."""
        run, heard = self._heard.get(job.job_id, (job.run, Work()))
        new = total.since(heard) if run == job.run else total
        self._heard[job.job_id] = (job.run, total)
        if new.busy_seconds > 0:
            self._busy.inc(new.busy_seconds)
        if new.range_retries > 0:
            self._retries.inc(new.range_retries)
        for code, count in new.errors.items():
            self._errors.inc(count, {"code": code})

    def _phase_ended(self, job: JobRecord) -> None:
        entered = self._entered.get(job.job_id)
        if entered is None or job.phase is None:
            return
        seconds = time.monotonic() - entered
        if job.phase == "queued":
            self._waited.observe(seconds)
        else:
            self._took.observe(seconds, {"phase": job.phase})

    def _answered(self, outcome: str, items: int) -> None:
        # A job's exact counters, when it ends, may show fewer errors than were shown before.
        if items > 0:
            self._items.inc(items, {"outcome": outcome})


def _result(job: JobRecord) -> str:
    if job.failed_by_input:
        return "rejected"
    return CANCELLED if job.error == CANCELLED else job.status
