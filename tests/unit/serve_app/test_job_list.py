"""Which jobs an account's list shows, and how far it looks for them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from pipelines.exceptions import Unavailable
from pipelines.job import JobConfig, JobRecord
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from serve_app.exceptions import JobNotFound
from serve_app.job_list import JobList
from serve_app.job_repository import JobRepository
from serve_app.job_view import JobView
from serve_app.storage_places import StoragePlaces
from tests.unit.serve_app.memory_store import MemoryStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DAMAGED, MISSING, THERE = "damaged", "missing", "there"


def listed(places: list[str]) -> tuple[list[int], int]:
    """Of an account with these places, newest first, at most 4: the places shown, and how many were looked at."""
    store = MemoryStore()
    repository = JobRepository(cast(ObjectStore, store))
    repository.claim()
    for number, kind in enumerate(places):
        job = JobRecord(
            job_id=f"batch_{number:016d}",
            account="acme",
            config=JobConfig(labels=("a",), model="static"),
            created_at=NOW - timedelta(seconds=number),
        )
        repository.create(job)
        record = JobPaths("acme", job.job_id).record
        if kind == MISSING:
            store.delete(record)
        if kind == DAMAGED:
            store.put(record, b"{")
    looked_at: set[str] = set()

    async def get(account: str, job_id: str) -> JobView:
        looked_at.add(job_id)
        return JobView.of(repository.load(account, job_id))

    shown = JobList(repository, StoragePlaces(100, 2.0, lambda: 0.0), get).newest("acme", 4)
    return [int(job.job_id.removeprefix("batch_")) for job in asyncio.run(shown)], len(looked_at)


@pytest.mark.parametrize(
    ("places", "shown", "looked_at"),
    [
        ([], [], 0),
        ([THERE] * 3, [0, 1, 2], 3),
        ([THERE] * 30, [0, 1, 2, 3], 4),
        ([MISSING, THERE, DAMAGED, THERE], [1, 3], 4),
        ([MISSING, *[THERE] * 30], [1, 2, 3, 4], 8),
        ([*[MISSING] * 4, THERE], [4], 5),
        ([*[MISSING] * 9, THERE, DAMAGED, *[THERE] * 5], [9, 11, 12, 13], 16),
        ([*[MISSING] * 19, THERE, THERE], [19], 20),
        ([*[MISSING] * 1000, THERE], [], 20),
    ],
)
def test_places_whose_job_is_not_there_hide_no_other_job_but_are_not_passed_over_for_ever(
    places: list[str], shown: list[int], looked_at: int
) -> None:
    assert listed(places) == (shown, looked_at)


def test_a_list_that_cannot_be_read_now_is_not_a_shorter_one() -> None:
    repository = JobRepository(cast(ObjectStore, MemoryStore()))
    repository.claim()
    for number in range(2):
        repository.create(
            JobRecord(
                job_id=f"batch_{number:016d}",
                account="acme",
                config=JobConfig(labels=("a",), model="static"),
                created_at=NOW,
            )
        )

    async def get(account: str, job_id: str) -> JobView:
        raise JobNotFound if job_id.endswith("0") else Unavailable

    with pytest.raises(Unavailable):
        asyncio.run(JobList(repository, StoragePlaces(100, 2.0, lambda: 0.0), get).newest("acme", 4))
