"""The job registry: one detached actor that owns every job's state and sees to it that drivers work on them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import ray
from ray.exceptions import RayError

from pipelines.driver import Assignment, JobDriver, driver_name
from pipelines.exceptions import AccountBusy, DriverSuperseded, IllegalTransition, JobNotFound, RegistrySuperseded
from pipelines.job import (
    Advanced,
    Completed,
    DriverAssigned,
    Event,
    Failed,
    InputVersion,
    JobConfig,
    JobRecord,
    Started,
    require_deletable,
    transition,
)
from pipelines.job_input import JobInput
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.run import Totals
from pipelines.settings import Settings
from serve_app.job_repository import JobRepository

logger = logging.getLogger(__name__)

NAMESPACE = "labelworks"
ACTOR_NAME = "job-registry"
# Drivers and the registry stay on the head: Ray Data's helper actors live where the first driver does.
HEAD_RESOURCES = {"node:__internal_head__": 0.001}
_RECONCILE_SECONDS = 1.0
_SAVE_PROGRESS_SECONDS = 10.0
_CACHED_JOBS = 10_000
_RETRY_SECONDS = 30.0


@dataclass(slots=True)
class _Supervision:
    """What the registry knows of the driver of one processing job."""

    driver: Any = None
    heard_at: float = 0.0
    saved_at: float = 0.0
    died: bool = False
    watch: asyncio.Task[None] | None = field(default=None)


class JobRegistry:
    """Async actor; every method may be called by any API replica or driver at any time.

    A change of state is in the object storage before its caller hears of it. Of its own death nothing is lost but
    progress counters, which drivers report again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._repository = JobRepository(ObjectStore(settings, retry_seconds=_RETRY_SECONDS))
        self._repository.claim()
        self._active = {job.job_id: job for job in self._repository.active()}
        self._ended: OrderedDict[str, JobRecord] = OrderedDict()
        self._supervised: dict[str, _Supervision] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        for job in self._active.values():
            if job.run:
                self._adopt(job)
        self._reconciler = asyncio.get_running_loop().create_task(self._reconcile_forever())

    async def ping(self) -> int:
        """The registry's epoch, once it has loaded what is processing."""
        return self._repository.epoch

    async def create(self, account: str, job_id: str, config: JobConfig) -> JobRecord:
        now = datetime.now(UTC)
        job = JobRecord(
            job_id=job_id,
            account=account,
            config=config,
            created_at=now,
            expires_at=now + self._settings.pending_retention,
        )
        saved = await self._stored(self._repository.create, job)
        self._remember(saved)
        return saved

    async def get(self, account: str, job_id: str) -> JobRecord:
        """Raises JobNotFound, also for another account's job."""
        job = self._active.get(job_id) or self._ended.get(job_id)
        if job is None:
            job = await asyncio.to_thread(self._repository.load, account, job_id)
            self._remember(job)
        if job.account != account:
            raise JobNotFound(f"There is no job {job_id}.")
        return job

    async def newest(self, account: str, limit: int) -> list[JobRecord]:
        """The account's latest jobs, newest first."""
        ids = await asyncio.to_thread(self._repository.newest, account, limit)
        found = await asyncio.gather(*(self.get(account, job_id) for job_id in ids), return_exceptions=True)
        for outcome in found:
            if isinstance(outcome, BaseException) and not isinstance(outcome, JobNotFound):
                raise outcome
        return [outcome for outcome in found if isinstance(outcome, JobRecord)]

    async def start(self, account: str, job_id: str, version: InputVersion, estimated_tokens: int) -> JobRecord:
        """Raises IllegalTransition, or AccountBusy while another job of the account is processing."""
        async with self._locks[account]:
            job = await self.get(account, job_id)
            started = transition(job, Started(datetime.now(UTC), version, estimated_tokens))
            busy = next((other.job_id for other in self._active.values() if other.account == account), None)
            if busy:
                raise AccountBusy(
                    f"Job {busy} of this account is still processing, and an account has one processing job at a"
                    " time. Start this job when that one has ended.",
                    processing=busy,
                )
            return await self._save(started)

    async def delete(self, account: str, job_id: str) -> None:
        """Remove the job and all its objects. Raises IllegalTransition while it is processing."""
        async with self._locks[account]:
            job = await self.get(account, job_id)
            require_deletable(job)
            await self._stored(self._repository.delete, job)
            self._ended.pop(job_id, None)

    async def driver_report(self, job_id: str, report: Advanced) -> bool:
        """A driver's heartbeat. False tells a driver that was superseded to stop."""
        job = self._active.get(job_id)
        if job is None or job.run != report.run:
            return False
        supervision = self._supervised.setdefault(job_id, _Supervision())
        supervision.heard_at = time.monotonic()
        advanced = transition(job, report)
        self._active[job_id] = advanced
        news = (job.phase, job.requests_total) != (advanced.phase, advanced.requests_total)
        if news or time.monotonic() - supervision.saved_at > _SAVE_PROGRESS_SECONDS:
            supervision.saved_at = time.monotonic()
            async with self._locks[job.account]:
                if self._active.get(job_id) is advanced:
                    await self._stored(self._repository.save, advanced)
        return True

    async def driver_finished(self, job_id: str, run: int, totals: Totals | None, error: str | None) -> None:
        """A driver's last word. Raises DriverSuperseded when it does not speak for the job any more."""
        job = self._active.get(job_id)
        if job is None or job.run != run:
            raise DriverSuperseded
        now = datetime.now(UTC)
        event: Event
        if totals is None:
            event = Failed(now, error or "The job failed.", self._settings.retention, run)
        else:
            event = Completed(now, run, totals.completed, totals.failed, totals.tokens, self._settings.retention)
        await self._change(job_id, event)

    async def _change(self, job_id: str, event: Event) -> JobRecord:
        account = self._active[job_id].account
        async with self._locks[account]:
            return await self._save(transition(self._active[job_id], event))

    async def _save(self, job: JobRecord) -> JobRecord:
        saved = await self._stored(self._repository.save, job)
        self._remember(saved)
        return saved

    async def _stored(self, write: Any, job: JobRecord) -> JobRecord:
        try:
            saved: JobRecord = await asyncio.to_thread(write, job)
        except RegistrySuperseded:
            logger.error("a newer registry has claimed the bucket; this one (epoch %d) ends", self._repository.epoch)
            ray.actor.exit_actor()  # type: ignore[no-untyped-call]
        return saved

    def _remember(self, job: JobRecord) -> None:
        if job.status == "processing":
            self._active[job.job_id] = job
            self._ended.pop(job.job_id, None)
            return
        self._active.pop(job.job_id, None)
        self._ended[job.job_id] = job
        self._ended.move_to_end(job.job_id)
        while len(self._ended) > _CACHED_JOBS:
            self._ended.popitem(last=False)

    async def _reconcile_forever(self) -> None:
        while True:
            try:
                await self._reconcile()
            except Exception:
                logger.exception("reconciling failed; trying again")
            await asyncio.sleep(_RECONCILE_SECONDS)

    async def _reconcile(self) -> None:
        """Compare the jobs that should be worked on with the drivers that live; start, replace and dismiss."""
        for job_id in [job_id for job_id in self._supervised if job_id not in self._active]:
            self._dismiss(job_id)
        for job in list(self._active.values()):
            supervision = self._supervised.get(job.job_id)
            if supervision is None:
                if len(self._supervised) < self._settings.running_jobs:
                    await self._assign(job.job_id, replaces_dead=False)
            elif supervision.died or self._is_silent(supervision):
                self._dismiss(job.job_id)
                if job.driver_deaths >= self._settings.driver_restarts:
                    reason = f"The job's driver died {job.driver_deaths + 1} times; start the job again to resume it."
                    await self._change(job.job_id, Failed(datetime.now(UTC), reason, self._settings.retention))
                else:
                    await self._assign(job.job_id, replaces_dead=True)

    def _is_silent(self, supervision: _Supervision) -> bool:
        return time.monotonic() - supervision.heard_at > self._settings.heartbeat_timeout_seconds

    async def _assign(self, job_id: str, *, replaces_dead: bool) -> None:
        job = await self._change(job_id, DriverAssigned(replaces_dead))
        if job.input is None:
            raise IllegalTransition(f"Job {job_id} is processing without an input.")
        driver: Any = (
            ray.remote(JobDriver)
            .options(
                name=driver_name(job_id, job.run),
                namespace=NAMESPACE,
                lifetime="detached",
                num_cpus=0,
                resources=HEAD_RESOURCES,
                max_concurrency=16,
            )
            .remote(self._settings, ray.get_runtime_context().current_actor)
        )
        assignment = Assignment(JobInput(JobPaths(job.account, job_id), job.input), job.config, job.run)
        supervision = _Supervision(driver=driver, heard_at=time.monotonic())
        supervision.watch = asyncio.create_task(self._watch(supervision, driver.run.remote(assignment)))
        self._supervised[job_id] = supervision

    async def _watch(self, supervision: _Supervision, ended: Any) -> None:
        """A driver's death is known as soon as Ray knows it, not only by its silence."""
        try:
            await ended
        except RayError as error:
            logger.warning("a driver died: %s", error)
            supervision.died = True

    def _adopt(self, job: JobRecord) -> None:
        """After this registry's restart: a driver that lives goes on, and is heard of by its next heartbeat."""
        try:
            driver = ray.get_actor(driver_name(job.job_id, job.run), namespace=NAMESPACE)
        except ValueError:
            return
        self._supervised[job.job_id] = _Supervision(driver=driver, heard_at=time.monotonic())

    def _dismiss(self, job_id: str) -> None:
        supervision = self._supervised.pop(job_id)
        if supervision.driver is not None:
            ray.kill(supervision.driver, no_restart=True)
