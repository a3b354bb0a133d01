"""What the registry's sweep removes, and what it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from pipelines.job import InputVersion, JobConfig, JobRecord
from pipelines.job_transitions import Started, transition
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.account_turns import AccountTurns
from serve_app.bucket_claim import BucketClaim
from serve_app.exceptions import JobNotFound
from serve_app.job_repository import JobRepository
from serve_app.job_states import JobStates
from serve_app.job_table import JobTable
from serve_app.metrics import ServiceMetrics
from serve_app.retention import Retention
from serve_app.storage_places import StoragePlaces
from serve_app.sweep import Sweep
from serve_app.usage import UsageLedger
from tests.unit.serve_app.memory_store import MemoryStore

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
EXPIRED = JobRecord(
    job_id="batch_0000000000000001",
    account="acme",
    config=JobConfig(labels=("a",), model="static"),
    created_at=LONG_AGO,
    expires_at=LONG_AGO + timedelta(days=1),
)


async def at_once() -> None:
    """Ready."""


@pytest.mark.parametrize("started_meanwhile", [False, True])
def test_an_expired_job_is_removed_unless_it_was_started_since_it_was_found(started_meanwhile: bool) -> None:
    async def test() -> None:
        store, jobs = cast(ObjectStore, MemoryStore()), JobTable()
        repository = JobRepository(store)
        repository.claim()
        turns = AccountTurns(at_once, StoragePlaces(100, 2.0, lambda: 0.0), 15.0)
        states = JobStates(repository, BucketClaim(repository), turns, jobs, ServiceMetrics())
        await states.create(EXPIRED)

        class Found(Retention):
            def expired(self, now: datetime) -> Iterator[tuple[str, str]]:
                for found in super().expired(now):
                    if started_meanwhile:
                        started = Started(now, InputVersion(etag="e", size=1), 5)
                        jobs.put(repository.save(transition(EXPIRED, started)))
                    yield found

        sweep = Sweep(Found(store, repository, Settings()), repository, UsageLedger(store), turns, states)
        await sweep.run()
        if started_meanwhile:
            assert repository.load("acme", EXPIRED.job_id).status == "processing"
        else:
            with pytest.raises(JobNotFound):
                await states.load("acme", EXPIRED.job_id)
            with pytest.raises(JobNotFound):
                repository.load("acme", EXPIRED.job_id)

    asyncio.run(asyncio.wait_for(test(), 60))


def test_a_place_in_a_list_whose_job_is_not_there_is_removed_unless_it_is_young() -> None:
    async def test() -> None:
        memory = MemoryStore()
        store = cast(ObjectStore, memory)
        repository = JobRepository(store)
        repository.claim()
        turns = AccountTurns(at_once, StoragePlaces(100, 2.0, lambda: 0.0), 15.0)
        states = JobStates(repository, BucketClaim(repository), turns, JobTable(), ServiceMetrics())
        ids = gone, damaged, kept, young = [f"batch_{number:016d}" for number in range(4)]
        for job_id in ids:
            created_at = datetime.now(UTC) if job_id == young else LONG_AGO
            job = EXPIRED.model_copy(update={"job_id": job_id, "created_at": created_at, "expires_at": None})
            repository.create(job)
        for job_id in (gone, young):
            store.delete(JobPaths("acme", job_id).record)
        store.put(JobPaths("acme", damaged).record, b"{")
        await Sweep(Retention(store, repository, Settings()), repository, UsageLedger(store), turns, states).run()
        assert repository.newest("acme", 20) == [young, damaged, kept]

    asyncio.run(asyncio.wait_for(test(), 60))
