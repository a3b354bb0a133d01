"""Writes that a server refuses where another came before them; the gateway ignores their conditions."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.exceptions import ObjectChanged
from pipelines.job import InputVersion, JobConfig, JobRecord
from pipelines.job_transitions import Failed, Started, transition
from pipelines.layout import REGISTRY_EPOCH_KEY, JobPaths
from pipelines.object_store import Body, ObjectStore
from pipelines.settings import Settings
from serve_app.exceptions import RegistrySuperseded
from serve_app.job_repository import JobRepository
from tests.faults.tcp_proxy import Cut, FaultyProxy
from tests.integration.storage.conftest import S3Server, bucket_of_its_own

NOW = datetime(2026, 11, 24, tzinfo=UTC)
# Past the 100 that a server answers before it is sent the body: what is cut is the answer to what was carried out.
LOST_ANSWER = Cut(40)
only_moto = pytest.mark.parametrize("server", ["moto"], indirect=True)


class Interrupted(ObjectStore):
    """Calls ``before``, once, when the object of a key is about to be stored."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, retry_seconds=20)
        self.before: dict[str, Callable[[], object]] = {}

    def put(self, key: str, body: Body, **named: Any) -> None:
        self.before.pop(key, lambda: None)()
        super().put(key, body, **named)

    def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
        self.before.pop(key, lambda: None)()
        return super().replace(key, body, etag=etag)


@pytest.fixture
def slow(server: S3Server, store: ObjectStore) -> Interrupted:
    """The bucket of ``store`` as a registry sees it whose writes may be late."""
    return Interrupted(server.settings())


def claimed(store: ObjectStore) -> JobRepository:
    repository = JobRepository(store)
    repository.claim()
    return repository


def new_job() -> JobRecord:
    config = JobConfig(labels=("a",), model="minilm")
    return JobRecord(job_id=f"batch_{secrets.token_hex(8)}", account="acme", config=config, created_at=NOW)


def started(job: JobRecord) -> JobRecord:
    return transition(job, Started(NOW, InputVersion(etag="e", size=1), 5))


def failed(job: JobRecord) -> JobRecord:
    return transition(job, Failed(NOW, "it broke", timedelta(days=1)))


def further(job: JobRecord) -> JobRecord:
    return job.model_copy(update={"requests_completed": job.requests_completed + 1})


def record_of(job: JobRecord) -> str:
    return JobPaths(job.account, job.job_id).record


def test_a_server_that_honours_conditions_is_told_from_one_that_ignores_them(
    server: S3Server, store: ObjectStore, prefix: str
) -> None:
    assert store.honours_conditions(prefix + "probe") == (server.name == "moto")
    assert list(store.list(prefix)) == []


@pytest.mark.parametrize("answers_before", range(5))
def test_it_is_told_so_where_an_answer_is_lost(
    server: S3Server, unsteady_store: ObjectStore, proxy: FaultyProxy, prefix: str, answers_before: int
) -> None:
    unsteady_store.exists(prefix)
    # Some hundred bytes each.
    proxy.fail_next(Cut(LOST_ANSWER.after_bytes + answers_before * 400))
    assert unsteady_store.honours_conditions(prefix + "probe") == (server.name == "moto")
    assert proxy.unused_faults == 0
    assert list(unsteady_store.list(prefix)) == []


@only_moto
def test_an_object_is_replaced_in_the_version_that_is_meant_or_not_at_all(store: ObjectStore, prefix: str) -> None:
    key = prefix + "a"
    with pytest.raises(ObjectChanged):
        store.replace(key, b"0", etag="0" * 32)
    assert not store.exists(key)
    first = store.replace(key, b"1", etag=None)
    with pytest.raises(ObjectChanged):
        store.replace(key, b"2", etag=None)
    second = store.replace(key, b"3", etag=first)
    with pytest.raises(ObjectChanged):
        store.replace(key, b"4", etag=first)
    assert store.get_with_etag(key) == (b"3", second)
    store.delete(key)
    with pytest.raises(ObjectChanged):
        store.replace(key, b"5", etag=second)
    assert not store.exists(key)


def test_an_object_is_got_and_stored_with_the_version_that_its_head_has(store: ObjectStore, prefix: str) -> None:
    etag = store.replace(prefix + "a", b"1", etag=None)
    assert store.get_with_etag(prefix + "a") == (b"1", etag)
    assert store.head(prefix + "a").etag == etag


@only_moto
def test_a_write_of_a_superseded_registry_that_comes_late_changes_nothing(
    store: ObjectStore, slow: Interrupted
) -> None:
    old = claimed(slow)
    job = old.save(started(old.create(new_job())))
    successor = JobRepository(store)
    ended: list[JobRecord] = []

    def meanwhile() -> None:
        successor.claim()
        ended.append(successor.save(failed(successor.load(job.account, job.job_id))))

    slow.before[record_of(job)] = meanwhile
    with pytest.raises(RegistrySuperseded):
        old.save(further(job))
    assert [successor.load(job.account, job.job_id)] == ended


@only_moto
def test_a_write_of_a_superseded_registry_that_comes_late_brings_no_deleted_job_back(
    store: ObjectStore, slow: Interrupted
) -> None:
    old = claimed(slow)
    job = old.save(started(old.create(new_job())))
    successor = JobRepository(store)

    def meanwhile() -> None:
        successor.claim()
        successor.delete(successor.save(failed(successor.load(job.account, job.job_id))))

    slow.before[record_of(job)] = meanwhile
    with pytest.raises(RegistrySuperseded):
        old.save(further(job))
    assert not store.exists(record_of(job))


def test_the_registry_that_has_the_bucket_writes_over_what_an_older_one_wrote_late(
    store: ObjectStore, slow: Interrupted
) -> None:
    old = claimed(slow)
    job = old.save(started(old.create(new_job())))
    successor = JobRepository(store)
    loaded: list[JobRecord] = []

    def meanwhile() -> None:
        successor.claim()
        loaded.append(successor.load(job.account, job.job_id))

    slow.before[record_of(job)] = meanwhile
    old.save(further(job))
    assert loaded == [job]
    ended = successor.save(failed(job))
    assert successor.load(job.account, job.job_id) == ended
    assert ended.epoch == successor.epoch


def test_a_registry_that_is_not_told_of_its_own_write_goes_on(
    server: S3Server, store: ObjectStore, proxy: FaultyProxy
) -> None:
    slow = Interrupted(server.settings(endpoint=proxy.endpoint))
    slow.before[REGISTRY_EPOCH_KEY] = lambda: proxy.fail_next(LOST_ANSWER)
    registry = claimed(slow)
    assert json.loads(store.get(REGISTRY_EPOCH_KEY))["epoch"] == registry.epoch
    job = new_job()
    steps: list[tuple[Callable[[JobRecord], JobRecord], Callable[[JobRecord], JobRecord]]] = [
        (registry.create, lambda job: job),
        (registry.save, started),
        (registry.save, further),
        (registry.save, failed),
    ]
    for write, change in steps:
        slow.before[record_of(job)] = lambda: proxy.fail_next(LOST_ANSWER)
        job = write(change(job))
        assert slow.before == {}
        assert proxy.unused_faults == 0
        assert JobRepository(store).load(job.account, job.job_id) == job


@pytest.mark.parametrize("claims_before", [0, 1])
def test_of_two_claims_at_once_the_later_has_the_higher_epoch(moto_server: S3Server, claims_before: int) -> None:
    settings = bucket_of_its_own(moto_server)
    slow = Interrupted(settings)
    for _ in range(claims_before):
        claimed(slow)
    first, last = JobRepository(ObjectStore(settings)), JobRepository(slow)
    slow.before[REGISTRY_EPOCH_KEY] = first.claim
    last.claim()
    assert (first.epoch, last.epoch) == (claims_before + 1, claims_before + 2)
    with pytest.raises(RegistrySuperseded):
        first.require_claim()
    last.require_claim()
