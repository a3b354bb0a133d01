"""What a registry knows of the versions of its records, in a storage that honours conditions and one that does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

import pytest

from pipelines.exceptions import ObjectChanged, ObjectMissing, StorageUnavailable
from pipelines.job import JobConfig, JobRecord
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectInfo, ObjectStore
from pipelines.object_store.failures import CallRefused
from pipelines.settings import Settings
from serve_app import versioned_records
from serve_app.exceptions import RegistrySuperseded
from serve_app.job_repository import JobRepository
from tests.unit.serve_app.memory_store import MemoryStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)
JOBS = [
    JobRecord(
        job_id=f"batch_{number:016d}",
        account="acme",
        config=JobConfig(labels=("a",), model="static"),
        created_at=NOW,
    )
    for number in range(2)
]


class LateStore(MemoryStore):
    """Calls ``meanwhile``, once, before a write on condition."""

    meanwhile: Callable[[], object] | None = None

    def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
        if meanwhile := self.meanwhile:
            self.meanwhile = None
            meanwhile()
        return super().replace(key, body, etag=etag)


def claimed(store: MemoryStore) -> JobRepository:
    repository = JobRepository(cast(ObjectStore, store))
    repository.claim()
    return repository


def record_of(job: JobRecord) -> str:
    return JobPaths(job.account, job.job_id).record


def further(job: JobRecord) -> JobRecord:
    return job.model_copy(update={"requests_completed": job.requests_completed + 1})


@pytest.mark.parametrize(("remembered", "reads"), [(1, 2), (2, 1)])
def test_a_version_is_asked_for_where_it_was_forgotten_and_protects_as_one_that_was_not(
    monkeypatch: pytest.MonkeyPatch, remembered: int, reads: int
) -> None:
    monkeypatch.setattr(versioned_records, "_REMEMBERED_VERSIONS", remembered)
    store = LateStore()
    old = claimed(store)
    job, _ = (old.create(job) for job in JOBS)
    before = store.reads
    job = old.save(further(job))
    assert store.reads == before + reads
    old.save(further(JOBS[1]))
    newer: list[JobRecord] = []
    store.meanwhile = lambda: newer.append(claimed(store).save(further(further(job))))
    with pytest.raises(RegistrySuperseded):
        old.save(further(job))
    assert [old.load(job.account, job.job_id)] == newer


def test_a_record_that_is_not_there_any_more_is_stored_anew_by_the_registry_that_has_the_bucket() -> None:
    store = MemoryStore()
    repository = claimed(store)
    job = repository.create(JOBS[0])
    store.delete(record_of(job))
    job = repository.save(further(job))
    assert repository.load(job.account, job.job_id) == job


def test_a_record_that_is_changed_each_time_is_not_tried_for_ever() -> None:
    class Changing(MemoryStore):
        def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
            if key == record_of(JOBS[0]):
                raise ObjectChanged
            return super().replace(key, body, etag=etag)

    with pytest.raises(StorageUnavailable):
        claimed(Changing()).create(JOBS[0])


def test_where_conditions_are_ignored_a_write_checks_the_claim_and_asks_for_nothing_else() -> None:
    class Unconditional(MemoryStore):
        def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
            raise NotImplementedError

    store = Unconditional()
    store.ignores_conditions = True
    repository = claimed(store)
    job = repository.create(JOBS[0])
    before = store.reads
    repository.save(further(job))
    assert store.reads == before + 1


def test_a_server_that_refuses_every_condition_honours_none() -> None:
    class Refusing(ObjectStore):
        def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
            raise CallRefused

        def head(self, key: str) -> ObjectInfo:
            raise ObjectMissing

        def delete(self, *keys: str) -> None:
            """There is nothing."""

    assert not Refusing(Settings()).honours_conditions("registry/probes/a")
