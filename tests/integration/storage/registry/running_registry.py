"""A registry without Ray over a real storage, and drivers that do nothing."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from pipelines.driver import Assignment
from pipelines.job import InputVersion, JobConfig, JobRecord
from pipelines.settings import Settings
from serve_app.exceptions import JobNotFound
from serve_app.registry import JobRegistry
from serve_app.spare_drivers import DriverProcess

INPUT = InputVersion(etag="one", size=100)
SLOTS = 8
CONFIG = JobConfig(labels=("a",), model="minilm")
BULKY = JobConfig(labels=("a", "b"), examples={"a": tuple(f"{number:05d}" for number in range(20_000))}, model="static")


class Drivers:
    """Takes the place of the spares; the drivers it hands out keep what they were told and do nothing."""

    def __init__(self, settings: Settings, on_prepared: Callable[[], None]) -> None:
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


async def until_gone(registry: JobRegistry, job: JobRecord) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            await registry.get(job.account, job.job_id)
        except JobNotFound:
            return
        await asyncio.sleep(0.05)
