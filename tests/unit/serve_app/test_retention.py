"""Which jobs are removed, and how much of the bucket is held while they are looked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from pipelines.job import JobConfig, JobRecord, Status
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.job_repository import JobRepository
from serve_app.retention import Retention, is_expired
from tests.unit.serve_app.memory_store import MemoryStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)
MONTH = timedelta(days=30)


def ended(number: int, ago: timedelta, kept_for: timedelta) -> JobRecord:
    return JobRecord(
        job_id=f"batch_{number:016d}",
        account="acme",
        config=JobConfig(labels=("a",), model="minilm"),
        created_at=NOW - ago,
        status="failed",
        expires_at=NOW - ago + kept_for,
    )


def stored(jobs: list[JobRecord]) -> tuple[MemoryStore, Retention]:
    store = MemoryStore()
    repository = JobRepository(cast(ObjectStore, store))
    repository.claim()
    for job in jobs:
        repository.create(job)
    store.reads = 0
    return store, Retention(cast(ObjectStore, store), repository, Settings())


def test_jobs_that_have_expired_are_found_among_those_that_have_not() -> None:
    expired = [ended(number, timedelta(days=2), timedelta(days=1)) for number in range(40)]
    kept = [ended(number, timedelta(days=2), MONTH) for number in range(40, 80)]
    young = [ended(number, timedelta(hours=1), timedelta()) for number in range(80, 90)]
    store, retention = stored([*kept, *expired, *young])
    store.objects[JobPaths("acme", kept[0].job_id).record] = b'{"config": 5}'
    assert set(retention.expired(NOW)) == {("acme", job.job_id) for job in expired}


def test_looking_for_expired_jobs_reads_no_more_than_a_few_records_ahead() -> None:
    store, retention = stored([ended(number, 2 * MONTH, MONTH) for number in range(300)])
    expired = retention.expired(NOW)
    next(expired)
    assert store.reads <= 20
    assert len(list(expired)) == 299


@pytest.mark.parametrize(
    ("status", "has_upload", "expires_at", "expired"),
    [
        ("failed", False, NOW, True),
        ("completed", True, NOW, True),
        ("completed", True, NOW + timedelta(seconds=1), False),
        ("pending", False, NOW, True),
        ("pending", True, NOW, False),
        ("pending", False, NOW + timedelta(seconds=1), False),
        ("processing", True, None, False),
    ],
)
def test_a_job_goes_when_its_time_is_over_but_not_while_it_is_processing_or_may_yet_be_started(
    status: Status, has_upload: bool, expires_at: datetime | None, expired: bool
) -> None:
    job = ended(1, timedelta(days=2), MONTH).model_copy(update={"status": status, "expires_at": expires_at})
    assert is_expired(job, NOW, MONTH, has_upload) is expired


@pytest.mark.parametrize("kept_for", [timedelta(hours=24), timedelta(hours=12), MONTH])
def test_an_uploaded_job_that_was_never_started_is_kept_for_both_times_and_never_goes_before_it_says(
    kept_for: timedelta,
) -> None:
    day = timedelta(days=1)
    job = ended(1, timedelta(), day).model_copy(update={"status": "pending"})
    goes_at = NOW + max(day, kept_for)
    assert not is_expired(job, goes_at - timedelta(microseconds=1), kept_for, has_upload=True)
    assert is_expired(job, goes_at, kept_for, has_upload=True)
