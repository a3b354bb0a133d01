"""An account has one processing job, whatever comes at the same time."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from pipelines.exceptions import IllegalTransition, StorageUnavailable
from pipelines.job import JobRecord
from pipelines.settings import Settings
from serve_app.exceptions import AccountBusy, JobNotFound
from serve_app.job_view import JobView
from serve_app.registry import JobRegistry
from tests.integration.storage.registry.running_registry import CONFIG, INPUT, accounts, in_a_loop, running, until


async def created(registry: JobRegistry, account: str) -> JobView:
    return await registry.create(account, f"batch_{secrets.token_hex(8)}", CONFIG)


def processing(registry: JobRegistry, account: str) -> list[str]:
    """Ids of the account's jobs that are processing by their stored records."""
    return [job.job_id for job in registry._repository.active() if job.account == account]


def test_of_two_jobs_of_an_account_that_are_started_at_the_same_time_one_is_refused(settings: Settings) -> None:
    async def test() -> None:
        async with running(settings) as (registry, _):
            (account,) = accounts(1)
            jobs = [await created(registry, account) for _ in range(2)]
            outcomes = await asyncio.gather(
                *(registry.start(account, job.job_id, INPUT, 5) for job in jobs), return_exceptions=True
            )
            (begun,) = [outcome for outcome in outcomes if isinstance(outcome, JobRecord)]
            (refused,) = [outcome for outcome in outcomes if isinstance(outcome, AccountBusy)]
            assert refused.details == {"processing": begun.job_id}
            assert processing(registry, account) == [begun.job_id]
            await registry.cancel(account, begun.job_id)

    in_a_loop(test)


@pytest.mark.parametrize("stored", [True, False])
def test_a_job_whose_start_was_stored_though_nobody_heard_of_it_keeps_its_account_busy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    async def test() -> None:
        (account,) = accounts(1)
        async with running(settings) as (registry, drivers):
            unheard, other = [await created(registry, account) for _ in range(2)]
            save = registry._repository.save

            def save_unheard(job: JobRecord) -> JobRecord:
                if stored:
                    save(job)
                raise StorageUnavailable

            with monkeypatch.context() as storage:
                storage.setattr(registry._repository, "save", save_unheard)
                with pytest.raises(StorageUnavailable):
                    await registry.start(account, unheard.job_id, INPUT, 5)
            if stored:
                with pytest.raises(AccountBusy) as busy:
                    await registry.start(account, other.job_id, INPUT, 5)
                assert busy.value.details == {"processing": unheard.job_id}
                await until(lambda: unheard.job_id in drivers.assigned)
                await registry.cancel(account, unheard.job_id)
            await registry.start(account, other.job_id, INPUT, 5)
            with pytest.raises(AccountBusy):
                await registry.start(account, unheard.job_id, INPUT, 5)
            assert processing(registry, account) == [other.job_id]
            await registry.cancel(account, other.job_id)

    in_a_loop(test)


@pytest.mark.parametrize("first", ["start", "delete"])
def test_of_a_start_and_a_deletion_that_come_at_the_same_time_one_is_refused(settings: Settings, first: str) -> None:
    async def test() -> None:
        async with running(settings) as (registry, _):
            (account,) = accounts(1)
            job = await created(registry, account)
            calls = {
                "start": lambda: registry.start(account, job.job_id, INPUT, 5),
                "delete": lambda: registry.delete(account, job.job_id),
            }
            order = sorted(calls, key=lambda name: name != first)
            answers = await asyncio.gather(*(calls[name]() for name in order), return_exceptions=True)
            outcomes = dict(zip(order, answers, strict=True))
            if isinstance(outcomes["start"], JobRecord):
                assert isinstance(outcomes["delete"], IllegalTransition)
                assert processing(registry, account) == [job.job_id]
                await registry.cancel(account, job.job_id)
            else:
                assert isinstance(outcomes["start"], JobNotFound)
                assert outcomes["delete"] is None
                assert await registry.newest(account, 20) == processing(registry, account) == []

    in_a_loop(test)
