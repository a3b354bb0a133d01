from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TypeVar

import pytest

from pipelines.exceptions import StorageUnavailable
from pipelines.job import InputVersion, JobConfig, JobRecord
from pipelines.job_transitions import Completed, DriverAssigned, Failed, Started, transition
from pipelines.layout import ACTIVE_PREFIX, REGISTRY_EPOCH_KEY, JobPaths, index_prefix
from pipelines.object_store import ObjectStore
from serve_app.exceptions import IdempotencyConflict, JobNotFound, RegistrySuperseded
from serve_app.job_repository import IdempotencyKey, JobRepository
from serve_app.usage import Usage, UsageLedger
from tests.faults.tcp_proxy import FaultyProxy
from tests.integration.storage.conftest import S3Server

T = TypeVar("T")
CREATED = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def account() -> str:
    return f"acme-{secrets.token_hex(6)}"


@pytest.fixture
def repository(store: ObjectStore) -> JobRepository:
    repository = JobRepository(store)
    repository.claim()
    return repository


def new_job(account: str, after: timedelta = timedelta()) -> JobRecord:
    return JobRecord(
        job_id=f"batch_{secrets.token_hex(8)}",
        account=account,
        config=JobConfig(labels=("a", 'é"\n'), mode="multi", model="minilm"),
        created_at=CREATED + after,
    )


def started(job: JobRecord) -> JobRecord:
    return transition(job, Started(CREATED, InputVersion(etag="e", size=1), 5))


def failed(job: JobRecord) -> JobRecord:
    return transition(job, Failed(CREATED, "it broke", timedelta(days=1)))


def test_what_was_stored_is_loaded_with_the_epoch_of_its_writer(repository: JobRepository, account: str) -> None:
    job = repository.create(new_job(account))
    assert repository.load(account, job.job_id) == job
    assert job.epoch == repository.epoch > 0
    changed = repository.save(started(job))
    assert repository.load(account, job.job_id) == changed


def test_a_new_registry_reads_the_records_of_the_last(
    store: ObjectStore, repository: JobRepository, account: str
) -> None:
    job = repository.save(started(repository.create(new_job(account))))
    successor = JobRepository(store)
    successor.claim()
    assert successor.epoch == repository.epoch + 1
    assert successor.load(account, job.job_id) == job
    assert job in successor.active()


@pytest.mark.parametrize("job_id", ["batch_0000000000000000", "", "../../accounts", "batch_x/../y", "a" * 5000])
def test_a_job_that_is_not_there_is_not_found(repository: JobRepository, account: str, job_id: str) -> None:
    with pytest.raises(JobNotFound) as missing:
        repository.load(account, job_id)
    assert len(missing.value.message) < 100


def test_a_job_is_not_found_under_another_account(repository: JobRepository, account: str) -> None:
    job = repository.create(new_job(account))
    with pytest.raises(JobNotFound):
        repository.load(f"{account}-2", job.job_id)
    with pytest.raises(JobNotFound):
        repository.load("../" + account, job.job_id)


def test_a_superseded_registry_writes_nothing(store: ObjectStore, repository: JobRepository, account: str) -> None:
    job = repository.create(new_job(account))
    successor = JobRepository(store)
    successor.claim()
    with pytest.raises(RegistrySuperseded):
        repository.save(started(job))
    with pytest.raises(RegistrySuperseded):
        repository.create(new_job(account))
    with pytest.raises(RegistrySuperseded):
        repository.delete(job)
    key = IdempotencyKey(secrets.token_hex(32), "body")
    with pytest.raises(RegistrySuperseded):
        repository.give_key(account, key, job.job_id, CREATED)
    assert successor.claimed_id(account, key) is None
    assert successor.load(account, job.job_id) == job
    assert successor.newest(account, 10) == [job.job_id]
    assert not store.exists(JobPaths(account, job.job_id).active_marker)


def test_of_registries_that_claim_at_once_exactly_one_may_write(store: ObjectStore, account: str) -> None:
    claimants = [JobRepository(store) for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda claimant: claimant.claim(), claimants))
    written = 0
    for claimant in claimants:
        try:
            claimant.create(new_job(account))
        except RegistrySuperseded:
            continue
        written += 1
    assert written == 1


def test_a_registry_that_never_claimed_may_not_write(
    store: ObjectStore, repository: JobRepository, account: str
) -> None:
    with pytest.raises(RegistrySuperseded):
        JobRepository(store).create(new_job(account))


def test_epochs_go_on_from_the_last(store: ObjectStore, repository: JobRepository) -> None:
    assert json.loads(store.get(REGISTRY_EPOCH_KEY))["epoch"] == repository.epoch
    repository.claim()
    repository.claim()
    assert json.loads(store.get(REGISTRY_EPOCH_KEY))["epoch"] == repository.epoch


def test_the_newest_jobs_come_first_up_to_the_limit(repository: JobRepository, account: str) -> None:
    offsets = [5, 0, 3, 1, 4, 2]
    jobs = {offset: repository.create(new_job(account, timedelta(microseconds=offset))) for offset in offsets}
    newest_first = [jobs[offset].job_id for offset in (5, 4, 3, 2, 1, 0)]
    assert repository.newest(account, 20) == newest_first
    assert repository.newest(account, 2) == newest_first[:2]
    assert repository.newest(account, 0) == []


def test_one_accounts_list_holds_no_job_of_another(repository: JobRepository, account: str) -> None:
    mine = repository.create(new_job(account))
    repository.create(new_job(f"{account}-2"))
    assert repository.newest(account, 20) == [mine.job_id]
    assert repository.newest("nobody-" + account, 20) == []


def test_a_processing_job_is_active_until_it_ends(store: ObjectStore, repository: JobRepository, account: str) -> None:
    def active() -> list[JobRecord]:
        return [job for job in repository.active() if job.account == account]

    job = repository.create(new_job(account))
    assert active() == []
    job = repository.save(started(job))
    assert active() == [job]
    job = repository.save(transition(job, DriverAssigned("driver-a")))
    assert active() == [job]
    job = repository.save(failed(job))
    assert active() == []
    assert not store.exists(JobPaths(account, job.job_id).active_marker)
    job = repository.save(started(job))
    assert active() == [job]


def test_a_marker_without_a_processing_job_does_no_harm(
    store: ObjectStore, repository: JobRepository, account: str
) -> None:
    pending = repository.create(new_job(account))
    running = repository.save(started(repository.create(new_job(account))))
    store.put(JobPaths(account, pending.job_id).active_marker, b"")
    store.put(JobPaths(account, "batch_0000000000000000").active_marker, b"")
    store.put(f"{ACTIVE_PREFIX}{account}/not-a-job", b"")
    store.put(f"{ACTIVE_PREFIX}nothing-below", b"")
    assert [job for job in repository.active() if job.account == account] == [running]


def test_a_record_that_makes_no_sense_hides_no_other(
    store: ObjectStore, repository: JobRepository, account: str
) -> None:
    damaged, running = (repository.save(started(repository.create(new_job(account)))) for _ in range(2))
    store.put(JobPaths(account, damaged.job_id).record, b'{"job_id": "')
    assert [job for job in repository.active() if job.account == account] == [running]
    repository.settle_completed()


def test_an_idempotency_key_belongs_to_the_job_that_it_was_given_last_and_to_the_body_it_came_with(
    repository: JobRepository, account: str
) -> None:
    key = IdempotencyKey(secrets.token_hex(32), "body")
    assert repository.claimed_id(account, key) is None
    for job_id in ("batch_1", "batch_2"):
        repository.give_key(account, key, job_id, CREATED)
        assert repository.claimed_id(account, key) == job_id
    assert repository.claimed_id(account + "-2", key) is None
    with pytest.raises(IdempotencyConflict):
        repository.claimed_id(account, IdempotencyKey(key.key_hash, "another body"))


def test_deleting_a_job_leaves_nothing_of_it_and_everything_of_others(
    store: ObjectStore, repository: JobRepository, account: str
) -> None:
    job = repository.save(failed(started(repository.create(new_job(account)))))
    other = repository.create(new_job(account, timedelta(seconds=1)))
    paths = JobPaths(account, job.job_id)
    for key in (paths.input, paths.plan, paths.results, paths.shard(0), paths.shard(77)):
        store.put(key, b"x")
    store.put(paths.active_marker, b"")
    repository.delete(job)
    assert list(store.list(paths.prefix)) == []
    assert not store.exists(paths.active_marker)
    assert not any(job.job_id in listed.key for listed in store.list(index_prefix(account)))
    with pytest.raises(JobNotFound):
        repository.load(account, job.job_id)
    assert repository.newest(account, 20) == [other.job_id]
    assert repository.load(account, other.job_id) == other


def test_deleting_ends_the_uploads_that_a_driver_had_begun_and_removes_what_it_wrote_meanwhile(
    server: S3Server, store: ObjectStore, account: str
) -> None:
    late = _WritesLate(server)
    repository = JobRepository(late)
    repository.claim()
    job = repository.create(new_job(account))
    paths = late.paths = JobPaths(account, job.job_id)
    for key in (paths.results, paths.shard(3)):
        store.begin_multipart(key)
    repository.delete(job)
    assert late.written
    assert list(store.list(paths.prefix)) == []
    assert store.abort_multiparts(paths.prefix) == 0


class _WritesLate(ObjectStore):
    """Somebody else's shard arrives when a job's record is deleted."""

    def __init__(self, server: S3Server) -> None:
        super().__init__(server.settings())
        self.paths: JobPaths | None = None
        self.written = False

    def delete(self, *keys: str) -> None:
        super().delete(*keys)
        if self.paths and self.paths.record in keys:
            self.put(self.paths.shard(1), b"x")
            self.written = True


def usage_of(store: ObjectStore, account: str) -> dict[date, Usage]:
    return UsageLedger(store).by_day(account, date(2026, 10, 1), date(2026, 12, 31))


def completed(processing: JobRecord) -> JobRecord:
    running = transition(processing, DriverAssigned("driver-a"))
    return transition(running, Completed(CREATED, running.run, 5, 1, 42, timedelta(days=1)))


USED = {CREATED.date(): Usage(jobs=1, items=6, items_failed=1, tokens=42)}


def test_a_completed_job_is_in_the_usage_before_its_caller_hears_of_it_and_after_its_deletion(
    store: ObjectStore, repository: JobRepository, account: str
) -> None:
    job = repository.save(failed(started(repository.create(new_job(account)))))
    assert usage_of(store, account) == {}
    done = repository.save(completed(started(job)))
    assert usage_of(store, account) == USED
    repository.delete(done)
    assert usage_of(store, account) == USED


@pytest.mark.parametrize("server", ["gateway"], indirect=True)
@pytest.mark.parametrize("calls", range(5))
@pytest.mark.parametrize("deleted", [False, True])
def test_a_completion_that_was_cut_off_anywhere_is_counted_once_in_the_end(
    server: S3Server, store: ObjectStore, account: str, calls: int, deleted: bool
) -> None:
    unsteady = _FailsAfter(server)
    dying = JobRepository(unsteady)
    dying.claim()
    job = dying.save(started(dying.create(new_job(account))))
    unsteady.calls_left = calls
    with suppress(StorageUnavailable):
        dying.save(completed(job))
    successor = JobRepository(store)
    successor.claim()
    (found,) = successor.load_all([(account, job.job_id)], JobRecord)
    if found.status == "processing":
        assert usage_of(store, account) == {}
        # Its driver reports again.
        found = successor.save(completed(found))
    if deleted:
        successor.delete(found)
    successor.settle_completed()
    assert usage_of(store, account) == USED
    assert not store.exists(JobPaths(account, job.job_id).active_marker)


def test_deleting_twice_is_no_error(repository: JobRepository, account: str) -> None:
    job = repository.create(new_job(account))
    repository.delete(job)
    repository.delete(job)


@pytest.mark.parametrize("server", ["gateway"], indirect=True)
def test_a_deletion_that_was_cut_off_can_be_repeated(server: S3Server, store: ObjectStore, account: str) -> None:
    """Whatever call it was cut off at: either the job is still there as a whole to be deleted again, or gone."""
    unsteady = _FailsAfter(server)
    cut_off = JobRepository(unsteady)
    cut_off.claim()
    for calls in range(13):
        unsteady.calls_left = 100
        job = cut_off.create(new_job(account))
        paths = JobPaths(account, job.job_id)
        for key in (paths.input, paths.shard(0), paths.results):
            store.put(key, b"x")
        unsteady.calls_left = calls
        with suppress(StorageUnavailable):
            cut_off.delete(job)
        unsteady.calls_left = 100
        if job.job_id in cut_off.newest(account, 100):
            cut_off.delete(job)
        assert list(store.list(paths.prefix)) == []
        assert job.job_id not in cut_off.newest(account, 100)


class _FailsAfter(ObjectStore):
    """A store that goes down after so many calls."""

    def __init__(self, server: S3Server) -> None:
        super().__init__(server.settings(), retry_seconds=0)
        self.calls_left = 100
        self._s3.retried = partial(self._counted, self._s3.retried)  # type: ignore[method-assign]

    def _counted(self, retried: Callable[[Callable[[], T]], T], call: Callable[[], T]) -> T:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise StorageUnavailable
        return retried(call)


def test_a_record_that_was_not_stored_is_not_acknowledged(server: S3Server, store: ObjectStore, account: str) -> None:
    with FaultyProxy(server.endpoint) as proxy:
        repository = JobRepository(ObjectStore(server.settings(endpoint=proxy.endpoint), retry_seconds=0.2))
        repository.claim()
        job = repository.create(new_job(account))
        proxy.go_down()
        with pytest.raises(StorageUnavailable):
            repository.save(started(job))
        proxy.come_up()
        assert repository.load(account, job.job_id) == job
