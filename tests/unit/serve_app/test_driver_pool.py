"""Whose death is told: a driver's that the service did not end itself."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from ray.exceptions import RayActorError

from pipelines.driver import Assignment
from pipelines.job import InputVersion, JobConfig, JobRecord
from pipelines.settings import Settings
from serve_app import spare_drivers
from serve_app.driver_pool import DriverPool
from serve_app.spare_drivers import DriverProcess

JOB = JobRecord(
    job_id="batch_0123456789abcdef",
    account="acme",
    config=JobConfig(labels=("a",), model="minilm"),
    created_at=datetime(2026, 11, 1, tzinfo=UTC),
    status="processing",
    input=InputVersion(etag="one", size=1),
    attempt=1,
    run=2,
    slots=1,
)


class Actor:
    """A driver whose run ends when it is killed, as Ray tells it of one that lives."""

    def __init__(self) -> None:
        self.run = self
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def remote(self, _: Assignment) -> asyncio.Future[None]:
        return self.ended

    def die(self) -> None:
        if not self.ended.done():
            self.ended.set_exception(RayActorError())


@pytest.fixture
def deadly_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(actor: Any, no_restart: bool) -> None:
        actor.die()

    monkeypatch.setattr(spare_drivers.ray, "kill", kill)


async def launched() -> tuple[DriverPool, Actor]:
    pool, actor = DriverPool(Settings()), Actor()
    pool.launch(JOB, DriverProcess("driver-a", actor))
    await asyncio.sleep(0)
    return pool, actor


def test_a_death_is_told_once_with_its_job(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> list[str]:
        pool, actor = await launched()
        actor.die()
        await asyncio.sleep(0.01)
        return pool.lost()

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(scenario()) == [JOB.job_id]
    (told,) = caplog.records
    assert "driver died" in told.getMessage()
    assert JOB.log_fields.items() <= vars(told).items()


@pytest.mark.parametrize("dismissed", [True, False])
@pytest.mark.usefixtures("deadly_ray")
def test_the_end_of_a_driver_that_the_service_ends_is_no_death(
    dismissed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        pool, _ = await launched()
        if dismissed:
            pool.dismiss(JOB.job_id)
        elif process := pool.release(JOB.job_id):
            process.kill()
        await asyncio.sleep(0.01)
        assert JOB.job_id not in pool

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert not caplog.records
