"""The log lines of the job repository name the job that they are about."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from pipelines.exceptions import StorageUnavailable
from pipelines.job import InputVersion, JobConfig, JobRecord
from pipelines.job_transitions import Failed, Started, transition
from pipelines.layout import ACTIVE_PREFIX, JobPaths
from pipelines.object_store import ObjectStore
from serve_app.job_repository import JobRepository
from tests.unit.serve_app.memory_store import MemoryStore

NOW = datetime.now(UTC)
PENDING = JobRecord(
    job_id="batch_0000000000000001",
    account="acme",
    config=JobConfig(labels=("a",), model="minilm"),
    created_at=NOW,
    attempt=1,
)
PROCESSING = transition(PENDING, Started(NOW, InputVersion(etag="e", size=1), 1, request_id="r-1"))


class KeepsMarkers(MemoryStore):
    """Goes down when the marker of a processing job is to be removed."""

    def delete(self, *keys: str) -> None:
        if any(key.startswith(ACTIVE_PREFIX) for key in keys):
            raise StorageUnavailable
        super().delete(*keys)


def claimed(store: MemoryStore) -> JobRepository:
    repository = JobRepository(cast(ObjectStore, store))
    repository.claim()
    return repository


def test_a_job_that_is_settled_later_is_named_with_its_attempt_and_request(caplog: pytest.LogCaptureFixture) -> None:
    ended = transition(PROCESSING, Failed(NOW, "it broke", timedelta(days=1)))
    with caplog.at_level(logging.WARNING):
        claimed(KeepsMarkers()).save(ended)
    (told,) = caplog.records
    assert "settled later" in told.getMessage()
    assert ended.log_fields.items() <= vars(told).items()
    assert ended.log_fields["request_id"] == "r-1"


def test_a_job_whose_record_makes_no_sense_is_named(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    repository = claimed(store)
    repository.save(PROCESSING)
    store.put(JobPaths(PROCESSING.account, PROCESSING.job_id).record, b"{")
    with caplog.at_level(logging.ERROR):
        assert repository.active() == []
    (told,) = caplog.records
    assert vars(told)["job_id"] == PROCESSING.job_id
