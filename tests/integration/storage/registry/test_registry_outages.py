"""The registry while the storage, another cluster or a long call keeps it from what it is asked for."""

from __future__ import annotations

import asyncio
import secrets
import threading
from contextlib import AbstractContextManager

import pytest

from pipelines.exceptions import DriverSuperseded, StorageUnavailable, Unavailable
from pipelines.job import JobRecord
from pipelines.job_transitions import Advanced
from pipelines.layout import REGISTRY_EPOCH_KEY
from pipelines.object_store import ObjectStore
from pipelines.run import Totals
from pipelines.settings import Settings
from serve_app import registry as registry_module
from serve_app import scheduler as scheduler_module
from serve_app.accounts import new_key, require_room
from serve_app.exceptions import BucketTaken, KeyUncertain
from serve_app.job_repository import IdempotencyKey
from serve_app.spare_drivers import DriverProcess
from tests.faults.tcp_proxy import Cut, FaultyProxy
from tests.integration.storage.conftest import S3Server
from tests.integration.storage.registry.running_registry import (
    CONFIG,
    INPUT,
    accounts,
    in_a_loop,
    running,
    started,
    until,
)


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
                key = IdempotencyKey("a" * 64, "body")
                with pytest.raises(BucketTaken, match="Another cluster"):
                    await registry.create(*create, key)
                assert registry._repository.claimed_id(job.account, key) is None
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
            async with registry._turns.of(account):
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
            await until(lambda: registry._turns.is_busy(deleting))
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
            async with registry._turns.of(busy):
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
