"""The registry on a real S3 server, in this process; stand-ins take the place of its driver processes."""

from __future__ import annotations

import asyncio
import json
import pickle
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.driver import Assignment, JobFailure
from pipelines.exceptions import (
    BucketTaken,
    DriverSuperseded,
    JobNotFound,
    KeyUncertain,
    StorageUnavailable,
    Unavailable,
)
from pipelines.job import Advanced, InputVersion, JobConfig, JobRecord
from pipelines.layout import REGISTRY_EPOCH_KEY, JobPaths
from pipelines.object_store import ObjectStore
from pipelines.run import Totals
from pipelines.settings import Settings
from serve_app import registry as registry_module
from serve_app import scheduler as scheduler_module
from serve_app.accounts import new_key, require_room
from serve_app.job_repository import IdempotencyKey, JobRepository
from serve_app.registry import JobRegistry
from serve_app.spare_drivers import DriverProcess
from tests.faults.tcp_proxy import Cut, FaultyProxy
from tests.integration.storage.conftest import S3Server

INPUT = InputVersion(etag="one", size=100)
SLOTS = 8
CONFIG = JobConfig(labels=("a",))
BULKY = JobConfig(labels=("a", "b"), examples={"a": tuple(f"{number:05d}" for number in range(20_000))}, model="static")


class Drivers:
    """Takes the place of the spares; the drivers it hands out keep what they were told and do nothing."""

    def __init__(self, settings: Settings) -> None:
        self.assigned: dict[str, list[Assignment]] = {}
        self.given = 0
        self.unused = 0
        self.may_be_taken = asyncio.Event()
        self.may_be_taken.set()
        self.asked_for = asyncio.Event()
        self.strays_removed_but: Collection[str] | None = None

    async def take(self) -> DriverProcess:
        self.asked_for.set()
        await self.may_be_taken.wait()
        self.given += 1
        return DriverProcess(f"driver-{self.given}", self)

    def put_back(self, driver: DriverProcess) -> None:
        self.unused += 1

    def refill(self) -> None:
        pass

    def remove_strays(self, assigned: Collection[str]) -> None:
        self.strays_removed_but = assigned

    @property
    def run(self) -> Drivers:
        return self

    def remote(self, assignment: Assignment) -> asyncio.Future[None]:
        self.assigned.setdefault(assignment.job.paths.job_id, []).append(assignment)
        return asyncio.get_running_loop().create_future()


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "SpareDrivers", Drivers)
    monkeypatch.setattr(scheduler_module, "slots_now", lambda settings: {False: SLOTS})
    monkeypatch.setattr(registry_module, "_RECONCILE_SECONDS", 0.05)
    monkeypatch.setattr(registry_module, "_RETRY_SECONDS", 0.3)
    monkeypatch.setattr(registry_module, "_LOADING_SECONDS", 1.0)
    monkeypatch.setattr(DriverProcess, "kill", lambda self: None)
    monkeypatch.setattr(DriverProcess, "named", lambda name: None)


@pytest.fixture
def settings(gateway_server: S3Server) -> Settings:
    """With a bucket of the test's own: a registry begins with all the jobs that it finds."""
    own = gateway_server.settings(bucket=f"registry-{secrets.token_hex(4)}")
    ObjectStore(own).ensure_bucket()
    return own


@asynccontextmanager
async def running(settings: Settings, *, loaded: bool = True) -> AsyncIterator[tuple[JobRegistry, Drivers]]:
    """``loaded``: once it knows what is processing, which a busy storage delays."""
    registry = JobRegistry(settings)
    drivers = registry._scheduler.spares
    assert isinstance(drivers, Drivers)
    try:
        if loaded:
            await registry._loaded.wait()
        yield registry, drivers
    finally:
        registry._background.cancel()


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


async def until(probe: Callable[[], object]) -> None:
    while not probe():
        await asyncio.sleep(0.02)


async def started(registry: JobRegistry, account: str, config: JobConfig = CONFIG) -> JobRecord:
    job = await registry.create(account, f"batch_{secrets.token_hex(8)}", config)
    return await registry.start(account, job.job_id, INPUT, 5)


def accounts(count: int) -> list[str]:
    return [f"registry-{secrets.token_hex(6)}" for _ in range(count)]


def test_a_job_that_is_cancelled_and_started_again_while_drivers_are_replaced_waits_to_be_admitted_anew(
    settings: Settings,
) -> None:
    async def test() -> None:
        async with running(settings) as (registry, drivers):
            jobs = [await started(registry, account) for account in accounts(2)]
            await until(lambda: all(job.job_id in drivers.assigned for job in jobs))
            drivers.asked_for.clear()
            drivers.may_be_taken.clear()
            for driver in registry._scheduler.drivers._drivers.values():
                driver.died = True
            await drivers.asked_for.wait()
            # One of the two is being given another driver now, and the other one's turn is next.
            for job in jobs:
                await registry.cancel(job.account, job.job_id)
                again = await registry.start(job.account, job.job_id, INPUT, 5)
                assert (again.attempt, again.slots, again.driver, again.phase) == (2, 0, None, "queued")
            drivers.may_be_taken.set()
            await until(lambda: all(len(drivers.assigned[job.job_id]) == 2 for job in jobs))
            assert drivers.unused == 1
            for job in jobs:
                now = await registry.get(job.account, job.job_id)
                assert (now.driver_deaths, now.attempt) == (0, 2)
                assert now.slots == drivers.assigned[job.job_id][-1].classifiers > 0
                await registry.cancel(job.account, job.job_id)

    in_a_loop(test)


def test_a_driver_of_an_attempt_that_has_ended_does_not_speak_for_the_next_one(settings: Settings) -> None:
    async def test() -> None:
        async with running(settings) as (registry, drivers):
            job = await started(registry, *accounts(1))
            await until(lambda: job.job_id in drivers.assigned)
            (old,) = drivers.assigned[job.job_id]
            assert await registry.driver_report(job.job_id, Advanced(run=old.run, phase="writing"))
            await registry.cancel(job.account, job.job_id)
            drivers.may_be_taken.clear()
            await registry.start(job.account, job.job_id, INPUT, 5)
            assert not await registry.driver_report(job.job_id, Advanced(run=old.run, phase="writing"))
            with pytest.raises(DriverSuperseded):
                await registry.driver_finished(job.job_id, old.run, Totals(1, 0, 1))
            assert (await registry.get(job.account, job.job_id)).status == "processing"
            await registry.cancel(job.account, job.job_id)

    in_a_loop(test)


def test_a_poll_costs_the_same_whatever_the_job_was_created_with(settings: Settings) -> None:
    async def test() -> None:
        (account,) = accounts(1)
        async with running(settings) as (registry, drivers):
            drivers.may_be_taken.clear()
            answers = [await started(registry, account, BULKY)]
            job_id = answers[0].job_id
            answers += [await registry.get(account, job_id), await registry.cancel(account, job_id)]
            answers += [await registry.get(account, job_id)]
            key = IdempotencyKey(secrets.token_hex(32), "body")
            for _ in range(2):
                answers += [await registry.create(account, f"batch_{secrets.token_hex(8)}", BULKY, key)]
            again = await registry.created_before(account, key)
            assert again is not None
            answers += [again, *await registry.newest(account, 20)]
        async with running(settings) as (registry, _):
            answers += await registry.newest(account, 20)
        assert max(len(pickle.dumps(answer)) for answer in answers) < 2_000
        assert {answer.config.model for answer in answers} == {"static"}

    in_a_loop(test)


def test_a_driver_gets_all_that_its_job_was_created_with_also_when_the_job_is_started_again(
    settings: Settings,
) -> None:
    async def test() -> None:
        (account,) = accounts(1)
        async with running(settings) as (registry, drivers):
            job = await started(registry, account, BULKY)
            await until(lambda: job.job_id in drivers.assigned)
            await registry.cancel(account, job.job_id)
            await registry.start(account, job.job_id, INPUT, 5)
            await until(lambda: len(drivers.assigned[job.job_id]) == 2)
        async with running(settings) as (registry, later):
            await until(lambda: job.job_id in later.assigned)
            await registry.cancel(account, job.job_id)
            stored = registry._repository.load(account, job.job_id)
        assignments = [*drivers.assigned[job.job_id], *later.assigned[job.job_id]]
        assert [each.config == BULKY for each in assignments] == [True] * 3
        assert (stored.config == BULKY, stored.attempt, stored.status) == (True, 2, "failed")

    in_a_loop(test)


def test_a_start_that_was_stored_though_the_storage_did_not_say_so_can_be_repeated(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with running(settings) as (registry, drivers):
            (account,) = accounts(1)
            job = await registry.create(account, f"batch_{secrets.token_hex(8)}", CONFIG)
            save = registry._repository.save

            def save_unheard(job: JobRecord) -> JobRecord:
                save(job)
                raise StorageUnavailable

            with monkeypatch.context() as unheard:
                unheard.setattr(registry._repository, "save", save_unheard)
                with pytest.raises(StorageUnavailable):
                    await registry.start(account, job.job_id, INPUT, 5)
            assert (await registry.start(account, job.job_id, INPUT, 5)).attempt == 1
            await until(lambda: job.job_id in drivers.assigned)
            await registry.cancel(account, job.job_id)

    in_a_loop(test)


def test_a_registry_that_starts_while_the_storage_is_away_says_so_and_goes_on_when_it_is_back(
    settings: Settings, gateway_server: S3Server
) -> None:
    async def test() -> None:
        async with running(settings) as (registry, drivers):
            drivers.may_be_taken.clear()
            job = await started(registry, *accounts(1))
        with FaultyProxy(gateway_server.endpoint) as proxy:
            proxy.go_down()
            away = settings.model_copy(update={"s3_endpoint": proxy.endpoint})
            async with running(away, loaded=False) as (registry, drivers):
                for call in (
                    registry.get(job.account, job.job_id),
                    registry.create(job.account, "batch_0000000000000000", job.config),
                    registry.driver_report(job.job_id, Advanced(run=1, phase="writing")),
                ):
                    with pytest.raises(StorageUnavailable, match="cannot read the jobs"):
                        await call
                proxy.come_up()
                await until(lambda: job.job_id in drivers.assigned)
                assert (await registry.get(job.account, job.job_id)).phase == "scanning"
                await registry.cancel(job.account, job.job_id)

    in_a_loop(test)


def test_a_registry_that_lost_the_bucket_ends_its_drivers_and_does_not_take_it_back_whoever_calls(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[str] = []
    monkeypatch.setattr(DriverProcess, "kill", lambda self: killed.append(self.name))

    async def test() -> None:
        async with running(settings) as (registry, drivers):
            job = await started(registry, *accounts(1))
            await until(lambda: job.job_id in drivers.assigned)
            (assigned,) = drivers.assigned[job.job_id]
            drivers.strays_removed_but = None
            async with running(settings) as (other, _):
                await until(lambda: other._jobs.active[job.job_id].run > assigned.run)
                claim = ObjectStore(settings).get(REGISTRY_EPOCH_KEY)
                create = (job.account, "batch_0000000000000000", CONFIG)
                with pytest.raises(BucketTaken, match="Another cluster"):
                    await registry.create(*create)
                await registry._background
                assert (killed, drivers.strays_removed_but) == (["driver-1"], ())
                calls = [("create", create), ("get", (job.account, job.job_id)), ("newest", (job.account, 20))]
                for method, arguments in calls:
                    with pytest.raises(BucketTaken):
                        await registry.answer(method, {}, *arguments)
                with pytest.raises(BucketTaken):
                    await registry.ping()
                assert not await registry.driver_report(job.job_id, Advanced(run=assigned.run, phase="writing"))
                with pytest.raises(DriverSuperseded):
                    await registry.driver_finished(job.job_id, assigned.run, Totals(1, 0, 1))
                assert ObjectStore(settings).get(REGISTRY_EPOCH_KEY) == claim
                await other.cancel(job.account, job.job_id)

    in_a_loop(test)


def test_calls_that_wait_for_a_storage_that_does_not_answer_are_few_and_keep_no_poll_and_no_report_waiting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "_WAITING_CALLS", 2)
    monkeypatch.setattr(registry_module, "_STORAGE_ANSWERS_SECONDS", 0.0)
    answers = threading.Event()

    async def test() -> None:
        async with running(settings) as (registry, drivers):
            job = await started(registry, *accounts(1))
            await until(lambda: job.job_id in drivers.assigned)
            newest = registry._repository.newest

            def late(account: str, limit: int) -> list[str]:
                assert answers.wait(60)
                return newest(account, limit)

            monkeypatch.setattr(registry._repository, "newest", late)
            try:
                waiting = [asyncio.create_task(registry.newest(job.account, 20)) for _ in range(2)]
                await asyncio.sleep(0)
                for call in (
                    registry.newest(job.account, 20),
                    registry.get(job.account, "batch_0000000000000000"),
                    registry.create(job.account, "batch_0000000000000000", CONFIG),
                    registry.start(job.account, job.job_id, INPUT, 5),
                ):
                    with pytest.raises(StorageUnavailable, match="2 calls wait"):
                        await call
                assert (await registry.get(job.account, job.job_id)).status == "processing"
                assert await registry.driver_report(job.job_id, Advanced(run=1, phase="scanning"))
            finally:
                answers.set()
            assert [[found.job_id for found in await each] for each in waiting] == [[job.job_id]] * 2
            await registry.cancel(job.account, job.job_id)

    in_a_loop(test)


def test_a_call_whose_turn_does_not_come_before_its_caller_gives_up_changes_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "_TURN_SECONDS", 0.05)

    async def test() -> None:
        async with running(settings) as (registry, _):
            (account,) = accounts(1)
            async with registry._locks[account]:
                with pytest.raises(Unavailable, match="earlier call"):
                    await registry.create(account, "batch_0000000000000000", CONFIG)
            assert await registry.newest(account, 20) == []

    in_a_loop(test)


def test_what_a_driver_tells_the_registry_in_another_thread_is_heard_by_the_registrys_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard_in: set[int] = set()

    async def test() -> None:
        async with running(settings) as (registry, drivers):
            job = await started(registry, *accounts(1))
            await until(lambda: job.job_id in drivers.assigned)
            report = Advanced(run=drivers.assigned[job.job_id][0].run, phase="writing")
            pool = registry._scheduler.drivers
            hearing = pool.hearing

            def noted(job_id: str) -> AbstractContextManager[None]:
                heard_in.add(threading.get_ident())
                return hearing(job_id)

            monkeypatch.setattr(pool, "hearing", noted)
            # As Ray calls the methods of a concurrency group.
            assert await asyncio.to_thread(asyncio.run, registry.driver_report(job.job_id, report))
            await until(lambda: registry._repository.load(job.account, job.job_id).phase == "writing")
            await asyncio.to_thread(asyncio.run, registry.driver_finished(job.job_id, report.run, Totals(1, 0, 1)))
            assert (await registry.get(job.account, job.job_id)).status == "completed"
            assert heard_in == {threading.get_ident()}

    in_a_loop(test)


@pytest.mark.parametrize("begun", ["before", "while a driver is found"])
def test_the_deletion_that_an_account_waits_for_keeps_no_other_account_from_drivers(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    goes_on = threading.Event()

    async def test() -> None:
        async with running(settings) as (registry, drivers):
            delete = registry._repository.delete

            def long_deletion(job: JobRecord) -> None:
                assert goes_on.wait(60)
                delete(job)

            monkeypatch.setattr(registry._repository, "delete", long_deletion)
            deleting, running_, queued = accounts(3)
            old = await registry.create(deleting, f"batch_{secrets.token_hex(8)}", CONFIG)
            jobs = [await started(registry, account) for account in (deleting, running_)]
            await until(lambda: all(job.job_id in drivers.assigned for job in jobs))
            if begun != "before":
                drivers.asked_for.clear()
                drivers.may_be_taken.clear()
                registry._scheduler.drivers._drivers[jobs[0].job_id].died = True
                await drivers.asked_for.wait()
            deletion = asyncio.create_task(registry.delete(deleting, old.job_id))
            await until(lambda: registry._locks[deleting].locked())
            for job in jobs:
                registry._scheduler.drivers._drivers[job.job_id].died = True
            drivers.may_be_taken.set()
            jobs.append(await started(registry, queued))
            try:
                await until(lambda: len(drivers.assigned[jobs[1].job_id]) == 2)
                await until(lambda: jobs[2].job_id in drivers.assigned)
                assert len(drivers.assigned[jobs[0].job_id]) == 1
            finally:
                goes_on.set()
            await deletion
            await until(lambda: len(drivers.assigned[jobs[0].job_id]) == 2)
            for job in jobs:
                await registry.cancel(job.account, job.job_id)

    in_a_loop(test)


def test_a_job_whose_account_is_busy_is_admitted_when_that_has_ended_and_keeps_no_slot_until_then(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "slots_now", lambda settings: {False: 1})

    async def test() -> None:
        async with running(settings) as (registry, drivers):
            busy, other = accounts(2)
            first = await registry.create(busy, f"batch_{secrets.token_hex(8)}", CONFIG)
            drivers.may_be_taken.clear()
            blocking = await started(registry, other)
            await drivers.asked_for.wait()
            await registry.start(busy, first.job_id, INPUT, 5)
            async with registry._locks[busy]:
                drivers.may_be_taken.set()
                await until(lambda: blocking.job_id in drivers.assigned)
                await registry.cancel(other, blocking.job_id)
                second = await registry.start(other, blocking.job_id, INPUT, 5)
                await until(lambda: len(drivers.assigned[second.job_id]) == 2)
                assert first.job_id not in drivers.assigned
                await registry.cancel(other, blocking.job_id)
            await until(lambda: first.job_id in drivers.assigned)
            await registry.cancel(busy, first.job_id)

    in_a_loop(test)


def test_a_key_is_uncertain_where_the_storage_does_not_say_whether_it_took_it(
    settings: Settings, gateway_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (account,) = accounts(1)
    issued = new_key(account)

    async def test() -> None:
        with FaultyProxy(gateway_server.endpoint) as proxy:

            def make_room(store: ObjectStore, account: str) -> None:
                require_room(store, account)
                proxy.fail_always(Cut(0))

            monkeypatch.setattr(registry_module, "require_room", make_room)
            unsteady = settings.model_copy(update={"s3_endpoint": proxy.endpoint, "s3_api_retry_seconds": 0.2})
            async with running(unsteady) as (registry, _):
                with pytest.raises(KeyUncertain) as uncertain:
                    await registry.add_key(issued.key, issued.key_hash)
        assert uncertain.value.details == {"id": issued.key.id}

    in_a_loop(test)


def test_a_record_that_makes_no_sense_keeps_no_other_job_from_going_on(settings: Settings) -> None:
    async def test() -> None:
        async with running(settings) as (registry, drivers):
            drivers.may_be_taken.clear()
            damaged, job = [await started(registry, account) for account in accounts(2)]
        paths = JobPaths(damaged.account, damaged.job_id)
        ObjectStore(settings).put(paths.record, b"{")
        async with running(settings) as (registry, drivers):
            await until(lambda: job.job_id in drivers.assigned)
            assert damaged.job_id not in drivers.assigned
            await registry.cancel(job.account, job.job_id)

    in_a_loop(test)


def test_a_job_that_cannot_be_removed_or_given_a_driver_keeps_no_other_waiting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubled, fine = accounts(2)

    async def test() -> None:
        sweeping = settings.model_copy(update={"pending_retention_hours": 1 / 3600, "sweep_seconds": 0.2})
        async with running(sweeping) as (registry, drivers):
            _fail_for(troubled, registry._repository, monkeypatch)
            for account in (troubled, fine):
                await registry.create(account, f"batch_{secrets.token_hex(8)}", CONFIG)
            (kept,) = await registry.newest(troubled, 1)
            (removed,) = await registry.newest(fine, 1)
            await until(lambda: datetime.now(UTC) > kept.created_at + timedelta(seconds=1))
            await until_gone(registry, removed)
            assert await registry.newest(fine, 1) == []
            assert await registry.newest(troubled, 1) == [kept]

            jobs = [await started(registry, account) for account in (troubled, fine)]
            await until(lambda: jobs[1].job_id in drivers.assigned)
            assert jobs[0].job_id not in drivers.assigned
            await registry.cancel(fine, jobs[1].job_id)

    in_a_loop(test)


def test_a_key_whose_job_is_deleted_makes_a_job_with_an_id_of_its_own_so_that_usage_counts_both(
    settings: Settings,
) -> None:
    key = IdempotencyKey(secrets.token_hex(32), "body")

    async def test() -> None:
        async with running(settings) as (registry, _):
            (account,) = accounts(1)

            async def created() -> JobRecord:
                return await registry.create(account, f"batch_{secrets.token_hex(8)}", CONFIG, key)

            first = await created()
            assert await created() == first
            await registry.delete(account, first.job_id)
            assert await registry.created_before(account, key) is None
            second = await created()
            assert second.job_id != first.job_id
            assert await created() == await registry.created_before(account, key) == second

    in_a_loop(test)


@pytest.mark.parametrize(("outcome", "kept"), [(Totals(1, 0, 1), 1), (JobFailure("it broke", by_input=False), 0)])
def test_only_a_driver_that_has_completed_its_job_is_kept_for_the_next(
    settings: Settings, outcome: Totals | JobFailure, kept: int
) -> None:
    async def test() -> None:
        async with running(settings) as (registry, drivers):
            job = await started(registry, *accounts(1))
            await until(lambda: job.job_id in drivers.assigned)
            await registry.driver_finished(job.job_id, drivers.assigned[job.job_id][0].run, outcome)
            await until(lambda: job.job_id not in registry._scheduler.drivers)
            assert drivers.unused == kept

    in_a_loop(test)


def test_what_is_logged_of_a_call_carries_the_id_of_the_request_that_it_is_made_for(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async def test() -> None:
        async with running(settings) as (registry, drivers):
            drivers.may_be_taken.clear()
            (account,) = accounts(1)
            job = await registry.create(account, f"batch_{secrets.token_hex(8)}", CONFIG)
            capsys.readouterr()
            await registry.answer("start", {"request_id": "r-1"}, account, job.job_id, INPUT, 5)
            await registry.answer("cancel", {"request_id": "r-2"}, account, job.job_id)
            lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
            about = [(line["message"], line.get("request_id")) for line in lines if line.get("job_id") == job.job_id]
            assert about == [("the job is queued", "r-1"), ("the job is failed", "r-2")]

    in_a_loop(test)


def test_a_driver_logs_the_id_of_the_request_that_started_its_job_also_when_a_later_registry_assigns_it(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async def test() -> None:
        (account,) = accounts(1)
        async with running(settings) as (registry, drivers):
            drivers.may_be_taken.clear()
            job = await registry.create(account, f"batch_{secrets.token_hex(8)}", CONFIG)
            await registry.answer("start", {"request_id": "r-1"}, account, job.job_id, INPUT, 5)
        capsys.readouterr()
        async with running(settings) as (registry, drivers):
            await until(lambda: job.job_id in drivers.assigned)
            (assignment,) = drivers.assigned[job.job_id]
            assert assignment.log_fields == {"job_id": job.job_id, "attempt": 1, "run": 1, "request_id": "r-1"}
            lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
            about = [(line["message"], line.get("request_id")) for line in lines if line.get("job_id") == job.job_id]
            assert about == [("the job is scanning", "r-1")]

    in_a_loop(test)


async def until_gone(registry: JobRegistry, job: JobRecord) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            await registry.get(job.account, job.job_id)
        except JobNotFound:
            return
        await asyncio.sleep(0.05)


def _fail_for(account: str, repository: JobRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleting this account's jobs and giving them drivers fails, as by a mistake that nobody thought of."""
    save, delete = repository.save, repository.delete

    def failing_save(job: JobRecord) -> JobRecord:
        if job.account == account and job.driver:
            raise RuntimeError("nobody thought of this")
        return save(job)

    def failing_delete(job: JobRecord) -> None:
        if job.account == account:
            raise RuntimeError("nobody thought of this")
        delete(job)

    monkeypatch.setattr(repository, "save", failing_save)
    monkeypatch.setattr(repository, "delete", failing_delete)
