"""Sees to it that every processing job has a driver: starts, adopts, replaces and dismisses them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from pipelines.engines import runs_on_gpu
from pipelines.exceptions import DriverSuperseded
from pipelines.job import JobRecord
from pipelines.job_transitions import DriverAssigned, Event, Failed
from pipelines.range_sizes import number_of_ranges
from pipelines.settings import Settings
from serve_app.admission import Capacity, Waiting, admit
from serve_app.driver_pool import DriverPool, slots_now
from serve_app.isolated_steps import isolated
from serve_app.job_table import JobTable
from serve_app.metrics import ServiceMetrics
from serve_app.spare_drivers import SpareDrivers
from serve_app.spare_processes import SpareProcesses

logger = logging.getLogger(__name__)


class ChangeJob(Protocol):
    """Changes and stores a job. Raises DriverSuperseded when the job has ended or is in another run."""

    def __call__(self, job_id: str, run: int, event: Event) -> Awaitable[JobRecord]: ...


class Scheduler:
    """Lives in the registry's event loop; ``change`` is how it changes a job's state.

    ``is_busy`` tells of an account whether a change of it would have to wait for another one, which may be a long
    deletion: its jobs are passed over until a later time, so that no other account waits with them.
    """

    def __init__(
        self,
        settings: Settings,
        jobs: JobTable,
        metrics: ServiceMetrics,
        change: ChangeJob,
        is_busy: Callable[[str], bool],
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._metrics = metrics
        self._change = change
        self._is_busy = is_busy
        self.drivers = DriverPool(settings)
        self._processes = SpareProcesses(settings)
        self.spares = SpareDrivers(settings, on_prepared=self._processes.look_soon)

    def adopt(self, jobs: Sequence[JobRecord]) -> None:
        """After the registry's restart: the drivers of ``jobs``, all that are processing, go on; no other does."""
        for job in jobs:
            self.drivers.adopt(job)
        self.spares.remove_strays({job.driver for job in jobs if job.driver})

    def end(self) -> None:
        """Dismiss every driver, for good: ``reconcile`` must not run again."""
        for job_id in self.drivers.job_ids():
            self.drivers.dismiss(job_id)
        self.spares.remove_strays(())
        self._metrics.standing((), 0, 0, 0)

    async def reconcile(self) -> None:
        """Compare the jobs that should be worked on with the drivers that live; start, replace and dismiss."""
        for job_id in self.drivers.job_ids():
            if job_id not in self._jobs.active:
                self._end_driver(job_id)
        for job_id in self.drivers.lost():
            job = self._jobs.active.get(job_id)
            # It may have ended, or been started anew, while another job's driver was replaced.
            if job is None or job_id not in self.drivers:
                continue
            if not job.slots:
                self.drivers.dismiss(job_id)
                continue
            if self._is_busy(job.account):
                continue
            with isolated("replacing a driver", **job.log_fields):
                await self._replace_driver(job)
        slots = await asyncio.to_thread(slots_now, self._settings)
        without = [job for job in self._jobs.active.values() if job.job_id not in self.drivers]
        queue = [job for job in without if not self._is_busy(job.account)]
        if queue:
            await self._admit(slots, sorted(queue, key=lambda job: job.started_at or job.created_at))
        self.spares.refill()
        self._processes.refill(jobs_run=bool(self.drivers.job_ids()))
        running = [each for on_gpu in slots for each in self.drivers.running(on_gpu)]
        taken = sum(each.slots for each in running)
        self._metrics.standing(self._jobs.active.values(), taken, sum(slots.values()), len(running))

    def _end_driver(self, job_id: str) -> None:
        """A driver whose job completed is clean and may take the next job; any other is ended."""
        self._processes.look_soon()
        job = self._jobs.find(job_id)
        if job is None or job.status != "completed":
            self.drivers.dismiss(job_id)
        elif process := self.drivers.release(job_id):
            self.spares.put_back(process)

    async def _replace_driver(self, job: JobRecord) -> None:
        try:
            if job.fruitless_deaths < self._settings.driver_restarts:
                logger.warning("the job's driver died or fell silent and is replaced", extra=job.log_fields)
                await self._assign(job, job.slots, job.in_kept_slots, replaces_dead=True)
                return
            reason = (
                f"The job's driver died {job.fruitless_deaths + 1} times without finishing a further part of the job;"
                " start the job again to resume it."
            )
            await self._change(job.job_id, job.run, Failed(datetime.now(UTC), reason, self._settings.retention))
            self.drivers.dismiss(job.job_id)
        except DriverSuperseded:
            logger.info("the job ended before its driver was replaced", extra=job.log_fields)

    async def _assign(self, job: JobRecord, slots: int, in_kept: bool, *, replaces_dead: bool = False) -> None:
        """Give the job a driver, unless its account has become busy.

        Raises DriverSuperseded when the job is not in the run that was looked at any more.
        """
        process = await self.spares.take()
        if self._is_busy(job.account):
            self.spares.put_back(process)
            return
        try:
            assigned = DriverAssigned(process.name, replaces_dead, slots, in_kept)
            job = await self._change(job.job_id, job.run, assigned)
        except BaseException:
            self.spares.put_back(process)
            raise
        # Only now: until this was stored, an earlier driver was the job's if it lived.
        self.drivers.dismiss(job.job_id)
        self.drivers.launch(job, process)
        self._processes.job_began()

    async def _admit(self, slots: Mapping[bool, int], queue: Sequence[JobRecord]) -> None:
        """Jobs on GPUs and jobs on CPUs wait for slots of their own."""
        for on_gpu, count in slots.items():
            capacity = Capacity.of(count, self._settings.kept_slots_share)
            jobs = {job.job_id: job for job in queue if runs_on_gpu(self._settings, job.config.model) == on_gpu}
            waiting = [self._waiting(job, capacity) for job in jobs.values()]
            for admission in admit(capacity, self.drivers.running(on_gpu), waiting):
                job = jobs[admission.job_id]
                with isolated("giving a job to a driver", **job.log_fields):
                    try:
                        await self._assign(job, admission.slots, admission.in_kept)
                    except DriverSuperseded:
                        logger.info("the job was cancelled before it was launched", extra=job.log_fields)

    def _waiting(self, job: JobRecord, capacity: Capacity) -> Waiting:
        size = job.input.size if job.input else 0
        return Waiting(
            job.job_id,
            small=size <= self._settings.small_job_bytes,
            wanted=min(
                self._settings.classifiers_per_job or capacity.slots, number_of_ranges(size, self._settings, job.config)
            ),
        )
