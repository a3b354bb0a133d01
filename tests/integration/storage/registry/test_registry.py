"""The registry on a real S3 server, in this process; stand-ins take the place of its driver processes."""

from __future__ import annotations

import asyncio
import json
import pickle
import secrets
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.driver import JobFailure
from pipelines.exceptions import DriverSuperseded
from pipelines.job import JobRecord
from pipelines.job_transitions import Advanced
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.run import Totals
from pipelines.settings import Settings
from serve_app.job_repository import IdempotencyKey, JobRepository
from tests.integration.storage.registry.running_registry import (
    BULKY,
    CONFIG,
    INPUT,
    accounts,
    in_a_loop,
    running,
    started,
    until,
    until_gone,
)


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


def test_calls_that_come_at_the_same_time_with_the_same_key_make_one_job(settings: Settings) -> None:
    key = IdempotencyKey(secrets.token_hex(32), "body")

    async def test() -> None:
        async with running(settings) as (registry, _):
            (account,) = accounts(1)
            ids = [f"batch_{secrets.token_hex(8)}" for _ in range(5)]
            made = await asyncio.gather(*(registry.create(account, job_id, CONFIG, key) for job_id in ids))
            assert {job.job_id for job in made} == {made[0].job_id}
            assert await registry.newest(account, 20) == [made[0]]

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
