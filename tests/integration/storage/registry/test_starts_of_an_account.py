"""An account has one processing job, whatever comes at the same time."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from pipelines.exceptions import IllegalTransition
from pipelines.job import JobRecord
from pipelines.settings import Settings
from serve_app.exceptions import AccountBusy, JobNotFound
from serve_app.job_view import JobView
from serve_app.registry import JobRegistry
from tests.integration.storage.registry.running_registry import CONFIG, INPUT, accounts, in_a_loop, running


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
