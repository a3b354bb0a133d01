"""The job registry: one detached actor that owns every job's state and sees to it that drivers work on them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import ray

from pipelines.driver import JobFailure
from pipelines.exceptions import StorageUnavailable
from pipelines.job import CANCELLED, InputVersion, JobConfig, JobRecord, TaskConfig
from pipelines.job_transitions import (
    Advanced,
    Completed,
    Event,
    Failed,
    Started,
    is_same_start,
    require_cancellable,
    require_deletable,
    transition,
)
from pipelines.logs import Fields, configure_logging, current_request, log_fields
from pipelines.object_store import ObjectStore
from pipelines.run import Totals
from pipelines.settings import Settings
from serve_app.account_turns import AccountTurns
from serve_app.accounts import ApiKey, require_room, revoke_key, store_key
from serve_app.bucket_claim import BucketClaim
from serve_app.classifier_repository import ClassifierRepository
from serve_app.exceptions import AccountBusy, JobNotFound, KeyUncertain, RecordUnreadable
from serve_app.job_list import JobList
from serve_app.job_repository import IdempotencyKey, JobRepository
from serve_app.job_states import JobStates
from serve_app.job_table import JobTable
from serve_app.job_view import JobView
from serve_app.metrics import ServiceMetrics
from serve_app.retention import Retention
from serve_app.saved_classifier import ClassifierReference, SavedClassifier
from serve_app.scheduler import Scheduler
from serve_app.storage_places import StoragePlaces
from serve_app.sweep import Sweep
from serve_app.usage import UsageLedger

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

# The concurrency group of what drivers call: one whose report waited behind clients' calls would seem silent.
DRIVERS_CALLS = "drivers"
_RECONCILE_SECONDS = 1.0
_RETRY_SECONDS = 30.0
ANSWER_SECONDS = 20.0
"""How long an API replica waits for an answer."""
# Shorter than anybody waits for an answer.
_LOADING_SECONDS = 10.0
# Short enough for a call whose turn does not come to be told that it changed nothing.
_TURN_SECONDS = ANSWER_SECONDS - 5
_WAITING_CALLS = 48
_STORAGE_ANSWERS_SECONDS = 2.0


class JobRegistry:
    """Async actor; every method may be called by any API replica or driver at any time.

    A change of state is in the object storage before its caller hears of it. Of its own death nothing is lost but
    progress counters, which drivers report again.

    One that finds out that a newer one has claimed the bucket stays and does nothing more: it raises BucketTaken,
    whoever calls. If it ended, the next call would make another, which would take the bucket back.
    """

    def __init__(self, settings: Settings) -> None:
        configure_logging(settings)
        self._settings = settings
        self._store = ObjectStore(settings, retry_seconds=_RETRY_SECONDS)
        self._repository = JobRepository(self._store)
        self._classifiers = ClassifierRepository(self._store, self._repository.require_claim)
        self._claim = BucketClaim(self._repository)
        self._jobs = JobTable()
        self._places = StoragePlaces(_WAITING_CALLS, _STORAGE_ANSWERS_SECONDS, time.monotonic)
        self._turns = AccountTurns(self._require_loaded, self._places, _TURN_SECONDS)
        metrics = ServiceMetrics()
        self._states = JobStates(self._repository, self._claim, self._turns, self._jobs, metrics)
        self._list = JobList(self._repository, self._places, self.get)
        self._scheduler = Scheduler(settings, self._jobs, metrics, self._states.change, self._turns.is_busy)
        retention = Retention(self._store, self._repository, settings)
        self._sweep = Sweep(retention, self._repository, UsageLedger(self._store), self._turns, self._states)
        self._loaded = asyncio.Event()
        # Set when there may be something to reconcile at once.
        self._news = asyncio.Event()
        # Not awaited here: an actor that cannot be made, because the storage is away, would never be made again.
        self._loop = asyncio.get_running_loop()
        self._background = self._loop.create_task(self._work())

    async def _work(self) -> None:
        while not self._loaded.is_set():
            try:
                await self._load()
            except Exception:
                logger.exception("what is processing could not be loaded; trying again")
                await asyncio.sleep(_RECONCILE_SECONDS)
        loops = [
            asyncio.create_task(_repeat("reconciling", self._scheduler.reconcile, _RECONCILE_SECONDS, self._news)),
            asyncio.create_task(_repeat("sweeping", self._sweep.run, self._settings.sweep_seconds, asyncio.Event())),
        ]
        try:
            await self._claim.lost.wait()
        finally:
            for loop in loops:
                loop.cancel()
        # Until then one of them may make another driver.
        await asyncio.wait(loops)
        self._scheduler.end()

    async def _load(self) -> None:
        """Claim the bucket and adopt the drivers of the jobs that are processing."""
        await asyncio.to_thread(self._repository.claim)
        jobs = await asyncio.to_thread(self._repository.active)
        self._scheduler.adopt(jobs)
        self._jobs.load(jobs)
        self._loaded.set()

    async def _require_loaded(self) -> None:
        """Raises StorageUnavailable where what is processing is not known soon."""
        try:
            await asyncio.wait_for(self._loaded.wait(), _LOADING_SECONDS)
        except TimeoutError as error:
            raise StorageUnavailable(
                "The job registry has started again and cannot read the jobs from the object storage yet. Try again"
                " shortly."
            ) from error

    async def answer(self, method: str, fields: Fields, *arguments: Any, **named: Any) -> Any:
        """What an API replica calls: ``method`` with these arguments, whose log lines carry the caller's fields."""
        self._claim.require()
        with log_fields(**fields):
            return await getattr(self, method)(*arguments, **named)

    async def ping(self) -> int:
        """The registry's epoch, once it has loaded what is processing."""
        self._claim.require()
        await self._require_loaded()
        return self._repository.epoch

    async def create(
        self, account: str, job_id: str, config: JobConfig, idempotency: IdempotencyKey | None = None
    ) -> JobView:
        """A new job, or the one that an earlier create with the same key and body made, unless that is deleted.

        Raises IdempotencyConflict when the key came with another body.
        """
        now = datetime.now(UTC)
        job = JobRecord(
            job_id=job_id,
            account=account,
            config=config,
            created_at=now,
            expires_at=now + self._settings.pending_retention,
        )
        async with self._turns.exclusively(account):
            if idempotency is not None:
                if earlier := await self._created_with(account, idempotency):
                    return earlier
                # Never the id that the key had before: usage is kept by a job's id.
                await self._claim.write(self._repository.give_key, account, idempotency, job_id, now)
            return JobView.of(await self._states.create(job))

    async def created_before(self, account: str, idempotency: IdempotencyKey) -> JobView | None:
        """The job that an earlier create with the same key and body made. Raises as ``create`` does."""
        async with self._turns.exclusively(account):
            return await self._created_with(account, idempotency)

    async def _created_with(self, account: str, idempotency: IdempotencyKey) -> JobView | None:
        """The same for a caller whose account's turn it is."""
        claimed = await asyncio.to_thread(self._repository.claimed_id, account, idempotency)
        if claimed is not None:
            # It may be deleted, or was cut off before it was written.
            with suppress(JobNotFound):
                return await self._states.load(account, claimed)
        return None

    async def get(self, account: str, job_id: str) -> JobView:
        """Raises JobNotFound, also for another account's job, or RecordUnreadable."""
        if job_id in self._jobs:
            return self._jobs.of_account(account, job_id)
        # A record that is read while it is being changed must not become what the registry remembers.
        async with self._turns.exclusively(account):
            return await self._states.load(account, job_id)

    async def newest(self, account: str, limit: int) -> list[JobView]:
        """The account's latest jobs, newest first, without those whose record cannot be read."""
        return await self._list.newest(account, limit)

    async def start(
        self, account: str, job_id: str, version: InputVersion, estimated_tokens: int, start_key: str | None = None
    ) -> JobView:
        """Raises IllegalTransition, or AccountBusy while another job of the account is processing."""
        async with self._turns.exclusively(account):
            job = await self._states.load(account, job_id)
            if is_same_start(job, start_key):
                return job
            stored = await asyncio.to_thread(self._repository.load, account, job_id)
            # Of the stored record no more: a change that its caller was not told of may be in it.
            record = job.with_config(stored.config)
            started = transition(
                record, Started(datetime.now(UTC), version, estimated_tokens, start_key, current_request())
            )
            if busy := await self._states.processing_beside(account, job_id):
                raise AccountBusy(
                    f"Job {busy} of this account is still processing, and an account has one processing job at a"
                    " time. Start this job when that one has ended.",
                    processing=busy,
                )
            # The driver of an earlier attempt may still be held here; this one is to be admitted anew.
            self._scheduler.drivers.dismiss(job_id)
            saved = await self._states.start(started)
        self._news.set()
        return JobView.of(saved)

    async def cancel(self, account: str, job_id: str) -> JobView:
        """End a processing job at once; its finished shards stay. Raises IllegalTransition for any other job."""
        async with self._turns.exclusively(account):
            job = await self._states.load(account, job_id)
            require_cancellable(job)
            record = self._jobs.active[job_id]
            failed = await self._states.save(
                transition(record, Failed(datetime.now(UTC), CANCELLED, self._settings.retention))
            )
            self._scheduler.drivers.dismiss(job_id)
        self._news.set()
        return JobView.of(failed)

    async def delete(self, account: str, job_id: str) -> None:
        """Remove the job and all its objects. Raises IllegalTransition while it is processing."""
        async with self._turns.in_turn(account):
            try:
                job = await self._states.load(account, job_id)
            except RecordUnreadable:
                # It is not processing: those that are were read when the registry began, or are remembered.
                await self._states.delete_unread(account, job_id)
            else:
                require_deletable(job)
                await self._states.delete(job)

    async def save_classifier(
        self, account: str, name: str, task: TaskConfig, key_hash: str | None = None
    ) -> SavedClassifier:
        """The next version of ``name``. Raises as ClassifierRepository.save does."""
        async with self._turns.exclusively(account):
            return await self._claim.write(self._classifiers.save, account, name, task, datetime.now(UTC), key_hash)

    async def delete_classifier(self, account: str, reference: ClassifierReference) -> None:
        """Raises ClassifierNotFound."""
        async with self._turns.exclusively(account):
            await self._claim.write(self._classifiers.delete, account, reference)

    async def add_key(self, key: ApiKey, key_hash: str) -> None:
        """Raises TooManyKeys, or KeyUncertain where the storage does not say whether the key is there. The secret
        itself stays with the replica that was asked for it.
        """
        async with self._turns.exclusively(key.account):
            await self._claim.write(self._repository.require_claim)
            await self._claim.write(require_room, self._store, key.account)
            try:
                await self._claim.write(store_key, self._store, key, key_hash)
            except StorageUnavailable as error:
                raise KeyUncertain(id=key.id) from error

    async def revoke_key(self, account: str, key_id: str, keep_one: bool) -> None:
        """Raises KeyNotFound, or LastKey with ``keep_one``: of two keys that revoke each other, one stays."""
        async with self._turns.exclusively(account):
            await self._claim.write(self._repository.require_claim)
            await self._claim.write(revoke_key, self._store, account, key_id, keep_one)

    @ray.method(concurrency_group=DRIVERS_CALLS)
    async def driver_report(self, job_id: str, report: Advanced) -> bool:
        """A driver's heartbeat. False tells a driver that was superseded to stop."""
        return await self._on_own_loop(self._hear(job_id, report))

    @ray.method(concurrency_group=DRIVERS_CALLS)
    async def driver_finished(self, job_id: str, run: int, outcome: Totals | JobFailure) -> None:
        """A driver's last word. Raises DriverSuperseded when it does not speak for the job any more."""
        await self._on_own_loop(self._finish(job_id, run, outcome))

    async def _on_own_loop(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        # Ray runs the methods of a concurrency group in another thread, by another event loop.
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _hear(self, job_id: str, report: Advanced) -> bool:
        await self._require_loaded()
        job = self._states.in_run(job_id, report.run)
        if job is None:
            return False
        with self._scheduler.drivers.hearing(job_id):
            self._states.advance(job, report)
        return True

    async def _finish(self, job_id: str, run: int, outcome: Totals | JobFailure) -> None:
        now = datetime.now(UTC)
        event: Event
        if isinstance(outcome, JobFailure):
            event = Failed(now, outcome.error, self._settings.retention, run, outcome.by_input)
        else:
            event = Completed(now, run, outcome.completed, outcome.failed, outcome.tokens, self._settings.retention)
        await self._require_loaded()
        with self._scheduler.drivers.hearing(job_id):
            await self._states.change(job_id, run, event)
        self._news.set()


async def _repeat(what: str, task: Callable[[], Awaitable[None]], seconds: float, at_once: asyncio.Event) -> None:
    while True:
        at_once.clear()
        try:
            await task()
        except Exception:
            logger.exception("%s failed; trying again", what)
        with suppress(TimeoutError):
            await asyncio.wait_for(at_once.wait(), seconds)
