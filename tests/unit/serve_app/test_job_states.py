"""What is remembered of a job, what is stored of it, and who may change it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from pipelines.exceptions import DriverSuperseded, StorageUnavailable
from pipelines.job import InputVersion, JobConfig, JobRecord, Phase
from pipelines.job_transitions import Advanced, DriverAssigned, Failed, Started, transition
from pipelines.object_store import ObjectStore
from serve_app import job_states
from serve_app.account_turns import AccountTurns
from serve_app.bucket_claim import BucketClaim
from serve_app.exceptions import BucketTaken, JobNotFound
from serve_app.job_repository import JobRepository
from serve_app.job_states import JobStates
from serve_app.job_table import JobTable
from serve_app.metrics import ServiceMetrics
from serve_app.storage_places import StoragePlaces
from tests.unit.serve_app.memory_store import MemoryStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)
BROKEN = Failed(NOW, "it broke", timedelta(days=1))
PENDING = JobRecord(
    job_id="batch_0000000000000001", account="acme", config=JobConfig(labels=("a",), model="static"), created_at=NOW
)
RUNNING = transition(
    transition(PENDING, Started(NOW, InputVersion(etag="e", size=1), 5)), DriverAssigned("driver-a", slots=2)
)


async def at_once() -> None:
    """Ready."""


@dataclass
class Bucket:
    """A registry's claim to a bucket in memory, and the running job in it."""

    store: MemoryStore
    repository: JobRepository
    claim: BucketClaim
    jobs: JobTable
    states: JobStates

    def stored(self) -> JobRecord:
        return self.repository.load(RUNNING.account, RUNNING.job_id)

    def taken(self) -> None:
        JobRepository(cast(ObjectStore, self.store)).claim()


def bucket() -> Bucket:
    store, jobs = MemoryStore(), JobTable()
    repository = JobRepository(cast(ObjectStore, store))
    repository.claim()
    claim = BucketClaim(repository)
    turns = AccountTurns(at_once, StoragePlaces(100, 2.0, lambda: 0.0), 15.0)
    jobs.put(repository.create(RUNNING))
    return Bucket(store, repository, claim, jobs, JobStates(repository, claim, turns, jobs, ServiceMetrics()))


def in_a_bucket(test: Callable[[Bucket], Awaitable[None]]) -> None:
    async def of_this_loop() -> None:
        async with asyncio.timeout(60):
            await test(bucket())

    asyncio.run(of_this_loop())


async def settled(states: JobStates) -> None:
    await asyncio.gather(*states._saving)


def test_a_change_is_stored_and_remembered_unless_another_run_has_the_job_or_it_has_ended() -> None:
    async def test(own: Bucket) -> None:
        with pytest.raises(DriverSuperseded):
            await own.states.change(RUNNING.job_id, RUNNING.run + 1, BROKEN)
        assert own.stored().status == "processing"
        changed = await own.states.change(RUNNING.job_id, RUNNING.run, BROKEN)
        assert (changed.status, own.stored()) == ("failed", changed)
        assert RUNNING.job_id not in own.jobs.active
        with pytest.raises(DriverSuperseded):
            await own.states.change(RUNNING.job_id, RUNNING.run, BROKEN)

    in_a_bucket(test)


def test_a_change_that_may_not_be_stored_is_not_remembered_and_its_caller_hears_that_it_is_uncertain() -> None:
    async def test(own: Bucket) -> None:
        own.store.down = True
        with pytest.raises(StorageUnavailable) as away:
            await own.states.change(RUNNING.job_id, RUNNING.run, BROKEN)
        assert away.value.details == {"uncertain": True}
        assert own.jobs.active[RUNNING.job_id].status == "processing"

    in_a_bucket(test)


def test_once_a_write_finds_the_bucket_taken_no_run_has_a_job_any_more() -> None:
    async def test(own: Bucket) -> None:
        own.claim.require()
        own.taken()
        assert own.states.in_run(RUNNING.job_id, RUNNING.run) is not None
        with pytest.raises(BucketTaken):
            await own.states.save(own.jobs.active[RUNNING.job_id])
        assert own.claim.lost.is_set()
        with pytest.raises(BucketTaken):
            own.claim.require()
        assert own.states.in_run(RUNNING.job_id, RUNNING.run) is None
        with pytest.raises(DriverSuperseded):
            await own.states.change(RUNNING.job_id, RUNNING.run, BROKEN)
        assert own.stored().status == "processing"

    in_a_bucket(test)


def test_progress_is_remembered_at_once_and_stored_where_it_is_news_or_the_last_was_stored_long_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(own: Bucket) -> None:
        async def told(completed: int, total: int = 10) -> tuple[int, int]:
            report = Advanced(RUNNING.run, "classifying", requests_total=total, requests_completed=completed)
            own.states.advance(own.jobs.active[RUNNING.job_id], report)
            await settled(own.states)
            return own.jobs.active[RUNNING.job_id].requests_completed, own.stored().requests_completed

        assert await told(1) == (1, 1)
        assert await told(2) == (2, 1)
        assert await told(3, total=20) == (3, 3)
        monkeypatch.setattr(job_states, "_SAVE_PROGRESS_SECONDS", -1.0)
        assert await told(4, total=20) == (4, 4)

    in_a_bucket(test)


def test_progress_that_cannot_be_stored_is_stored_later() -> None:
    async def test(own: Bucket) -> None:
        own.store.down = True
        steps: list[tuple[Phase, Phase]] = [("classifying", "scanning"), ("writing", "writing")]
        for phase, stored in steps:
            report = Advanced(RUNNING.run, phase)
            own.states.advance(own.jobs.active[RUNNING.job_id], report)
            await settled(own.states)
            own.store.down = False
            assert (own.jobs.active[RUNNING.job_id].phase, own.stored().phase) == (phase, stored)

    in_a_bucket(test)


def test_a_job_is_read_once_and_another_accounts_is_not_found_nor_one_that_was_deleted() -> None:
    async def test(own: Bucket) -> None:
        job = await own.states.create(PENDING.model_copy(update={"job_id": "batch_0000000000000002"}))
        own.jobs.remove(job.job_id)
        reads = own.store.reads
        for _ in range(3):
            assert (await own.states.load("acme", job.job_id)).status == "pending"
        assert own.store.reads == reads + 1
        with pytest.raises(JobNotFound):
            await own.states.load("other", job.job_id)
        await own.states.delete(job)
        with pytest.raises(JobNotFound):
            await own.states.load("acme", job.job_id)

    in_a_bucket(test)
