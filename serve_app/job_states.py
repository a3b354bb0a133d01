"""How a job's state changes: what is remembered of it follows what is stored."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict

from pipelines.exceptions import DriverSuperseded, Unavailable
from pipelines.job import JobRecord
from pipelines.job_transitions import Advanced, Event, transition
from serve_app.account_turns import AccountTurns
from serve_app.bucket_claim import BucketClaim
from serve_app.job_repository import JobRepository, Name
from serve_app.job_table import JobTable
from serve_app.job_view import JobView
from serve_app.metrics import ServiceMetrics

logger = logging.getLogger(__name__)

_SAVE_PROGRESS_SECONDS = 10.0


class JobStates:
    """``change``, ``in_run`` and ``advance`` are for anybody; the others are for a caller whose account's turn it is.

    Every write raises as BucketClaim.write does. Lives in the registry's event loop.
    """

    def __init__(
        self,
        repository: JobRepository,
        claim: BucketClaim,
        turns: AccountTurns,
        jobs: JobTable,
        metrics: ServiceMetrics,
    ) -> None:
        self._repository = repository
        self._claim = claim
        self._turns = turns
        self._jobs = jobs
        self._metrics = metrics
        # Account and id of jobs whose start may be stored though it was not told.
        self._uncertain: set[Name] = set()
        self._saving: set[asyncio.Task[None]] = set()
        self._saved_at: defaultdict[str, float] = defaultdict(float)

    async def load(self, account: str, job_id: str) -> JobView:
        """Raises JobNotFound, also for another account's job, or RecordUnreadable."""
        if job_id not in self._jobs:
            self._remember(await asyncio.to_thread(self._repository.load, account, job_id))
        return self._jobs.of_account(account, job_id)

    async def create(self, job: JobRecord) -> JobRecord:
        created = await self._claim.write(self._repository.create, job)
        self._remember(created)
        return created

    async def start(self, job: JobRecord) -> JobRecord:
        """``save`` for a job that has just been started."""
        name = (job.account, job.job_id)
        self._uncertain.add(name)
        saved = await self.save(job)
        self._uncertain.discard(name)
        return saved

    async def processing_beside(self, account: str, job_id: str) -> str | None:
        """The id of another job of the account that is processing, even if nobody heard that its start was stored.

        Raises StorageUnavailable where that cannot be read.
        """
        names = [name for name in self._uncertain if name[0] == account and name[1] != job_id]
        if names:
            stored = await asyncio.to_thread(lambda: list(self._repository.load_all(names, JobRecord)))
            for job in stored:
                # Of one that is active more is known than is stored.
                if job.status == "processing" and job.job_id not in self._jobs.active:
                    self._remember(job)
            self._uncertain.difference_update(names)
        others = (job for job in self._jobs.active.values() if job.account == account and job.job_id != job_id)
        return next((other.job_id for other in others), None)

    async def save(self, job: JobRecord) -> JobRecord:
        saved = await self._claim.write(self._repository.save, job)
        self._remember(saved)
        logger.info("the job is %s", saved.phase or saved.status, extra=saved.log_fields)
        return saved

    async def delete(self, job: JobRecord) -> None:
        """For a job that is not processing."""
        await self._claim.write(self._repository.delete, job)
        self._jobs.remove(job.job_id)

    async def delete_unread(self, account: str, job_id: str) -> None:
        """For a job whose record ``load`` cannot read."""
        await self._claim.write(self._repository.delete_unread, account, job_id)

    async def unlist(self, account: str, job_id: str) -> None:
        """For a job that ``load`` does not find."""
        await self._claim.write(self._repository.unlist, account, job_id)

    async def change(self, job_id: str, run: int, event: Event) -> JobRecord:
        """Raises DriverSuperseded when the job has ended or was started anew meanwhile, or another run has it."""
        job = self._jobs.active.get(job_id)
        if job is None:
            raise DriverSuperseded
        async with self._turns.of(job.account):
            job = self.in_run(job_id, run)
            if job is None:
                raise DriverSuperseded
            return await self.save(transition(job, event))

    def in_run(self, job_id: str, run: int) -> JobRecord | None:
        """The processing job, unless another run has it, or another registry all jobs."""
        job = self._jobs.active.get(job_id)
        return None if self._claim.lost.is_set() or job is None or job.run != run else job

    def advance(self, job: JobRecord, report: Advanced) -> None:
        """Remember a report of the run that has the job, and store it from time to time."""
        job_id = job.job_id
        advanced = transition(job, report)
        self._jobs.put(advanced)
        self._metrics.changed(job, advanced)
        self._metrics.worked(advanced, report.work)
        news = (job.phase, job.requests_total) != (advanced.phase, advanced.requests_total)
        if news or time.monotonic() - self._saved_at[job_id] > _SAVE_PROGRESS_SECONDS:
            self._saved_at[job_id] = time.monotonic()
            # Not awaited: a storage that is slow must not make a driver seem silent.
            saving = asyncio.create_task(self._save_progress(advanced))
            self._saving.add(saving)
            saving.add_done_callback(self._saving.discard)

    async def _save_progress(self, advanced: JobRecord) -> None:
        async with self._turns.of(advanced.account):
            job = self.in_run(advanced.job_id, advanced.run)
            if job is not None:
                try:
                    await self._claim.write(self._repository.save, job)
                except Unavailable as error:
                    logger.warning("progress is not stored now: %s", error, extra=job.log_fields)

    def _remember(self, job: JobRecord) -> None:
        self._metrics.changed(self._jobs.active.get(job.job_id), job)
        self._jobs.put(job)
        if job.status != "processing":
            self._saved_at.pop(job.job_id, None)
