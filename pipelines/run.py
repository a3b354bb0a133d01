"""A job from its uploaded input to its result file. Runs in a driver actor or in a plain script; needs no Serve."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from pipelines.dataset import classify_ranges
from pipelines.engines import arithmetic_for, classifier_resources, fingerprint_for, runs_on_gpu
from pipelines.exceptions import LabelworksError, ObjectChanged
from pipelines.job import JobConfig, Phase
from pipelines.job_input import JobInput
from pipelines.join import Shard, join_shards
from pipelines.node import node_resources
from pipelines.object_store import ObjectStore
from pipelines.plan import Plan, make_plan
from pipelines.progress import ProgressTracker
from pipelines.range_sizes import ranges_of
from pipelines.scan import require_ndjson
from pipelines.scan_input import scan_input
from pipelines.settings import Settings
from pipelines.shards import FinishedShard, ShardOrigin, finished_shards
from pipelines.stored_plan import load_plan, save_plan

logger = logging.getLogger(__name__)

_HEAD_BYTES = 64 * 1024
# A job undisturbed takes two: classifying what has no shard, and joining.
_STEPS = 10


@dataclass(frozen=True, slots=True)
class Totals:
    """The exact counters of a finished job."""

    completed: int
    failed: int
    tokens: int


class JobObserver:
    """Is told how a job goes. Any method may raise to stop the job; the default does nothing."""

    def entered(self, phase: Phase) -> None:
        """The job is now scanning, classifying or writing."""

    def begins_anew(self) -> None:
        """What an earlier run of the job wrote is about to be removed, and its plan to be replaced."""

    def planned(self, plan: Plan, tracker: ProgressTracker) -> None:
        """The number of items is known; ``tracker`` holds the counters from here on."""


def run_job(
    store: ObjectStore,
    settings: Settings,
    job: JobInput,
    config: JobConfig,
    *,
    classifiers: int,
    watcher: Any,
    observer: JobObserver,
) -> Totals:
    """Plan, scan, classify (in ``classifiers`` actors) and join one job, going on where the shards of this engine end.

    ``watcher`` is the actor that classifier actors report to (see ClassifierActor). Raises InputRejected for a file
    that is not NDJSON, InputChanged when the input is overwritten meanwhile, StorageUnavailable.
    """
    observer.entered("scanning")
    prefetched = job.read_all(store) if job.version.size <= settings.prefetch_bytes else None
    arithmetic = _classifiers_arithmetic(settings, config.model)
    engine = fingerprint_for(settings, config.model, arithmetic)
    origin = ShardOrigin(job.version.etag, engine)
    plan = load_plan(store, job)
    if plan is None or plan.engine != engine:
        plan = _plan(store, settings, config, job, prefetched, engine)
        # Another input or, after an upgrade, other answers: what is there belongs to neither.
        observer.begins_anew()
        _remove_outputs(store, job)
        save_plan(store, job, plan)
    tracker = ProgressTracker(plan.items)
    finished = _finished(store, job, plan, origin, tracker)
    observer.planned(plan, tracker)

    for _ in range(_STEPS):
        remaining = [planned for planned in plan.ranges if planned.index not in finished]
        if remaining:
            observer.entered("classifying")
            for receipt in classify_ranges(
                store,
                settings,
                job,
                config,
                remaining,
                origin,
                arithmetic=arithmetic,
                classifiers=classifiers,
                watcher=watcher,
                prefetched=prefetched,
            ):
                tracker.finished(receipt)
        else:
            observer.entered("writing")
            # The input may have been overwritten since a small one was read whole, or the last range of a large one.
            job.require_unchanged(store)
            try:
                _join(store, job, plan, finished)
            except ObjectChanged:
                logger.warning("a shard was changed while the shards were put together")
            else:
                return Totals(*tracker.totals())
        # Only what lies there is joined: a late write of another run may have replaced a shard that was reported.
        finished = _finished(store, job, plan, origin, tracker)
    raise LabelworksError("Finished parts of the job were changed again and again by something else; start it again.")


def _classifiers_arithmetic(settings: Settings, model: str) -> str:
    """The arithmetic of the nodes that classify: of this one if it may be one of them, else of the first free one."""
    here = arithmetic_for(settings, model)
    # The head of a cluster may be kept for the service alone.
    if not here or runs_on_gpu(settings, model) or node_resources().get("CPU", 0) > 0:
        return here
    asked = ray.remote(arithmetic_for).options(**classifier_resources(settings, model), max_retries=-1)
    there: str = ray.get(asked.remote(settings, model))
    return there


def _finished(
    store: ObjectStore, job: JobInput, plan: Plan, origin: ShardOrigin, tracker: ProgressTracker
) -> dict[int, FinishedShard]:
    """The shards of the plan's ranges that exist now; ``tracker`` counts what they hold."""
    found = finished_shards(store, job.paths, origin)
    finished = {planned.index: found[planned.index] for planned in plan.ranges if planned.index in found}
    for shard in finished.values():
        tracker.finished(shard.receipt)
    return finished


def _join(store: ObjectStore, job: JobInput, plan: Plan, finished: Mapping[int, FinishedShard]) -> None:
    in_order = [finished[planned.index] for planned in plan.ranges]
    shards = [Shard(job.paths.shard(each.receipt.index), each.receipt.size, each.etag) for each in in_order]
    join_shards(store, shards, job.paths.results)


def _remove_outputs(store: ObjectStore, job: JobInput) -> None:
    stale = [listed.key for listed in store.list(job.paths.shards_prefix)]
    store.delete(*stale, job.paths.results)


def _plan(
    store: ObjectStore, settings: Settings, config: JobConfig, job: JobInput, prefetched: bytes | None, engine: str
) -> Plan:
    ranges = ranges_of(job.version.size, settings, config)
    scans = scan_input(store, settings, config.model, job, ranges, prefetched)
    require_ndjson(scans, job.reader(store, prefetched)(0, min(_HEAD_BYTES, job.version.size)))
    return make_plan(job.version, ranges, scans, engine)
