"""Driver processes that wait for a job with everything loaded, so that a small job need not wait for them."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from pipelines.driver import JobDriver
from pipelines.settings import Settings
from serve_app.placement import HEAD_RESOURCES, NAMESPACE

logger = logging.getLogger(__name__)

_NAME_PREFIX = "driver-"
# A service that starts needs the processors more than the first spare does.
_START_SECONDS = 15.0
_PING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class DriverProcess:
    """A driver actor and the name by which a later registry finds it."""

    name: str
    actor: Any

    @classmethod
    def named(cls, name: str) -> DriverProcess | None:
        """The living driver of this name."""
        try:
            return cls(name, ray.get_actor(name, namespace=NAMESPACE))
        except ValueError:
            return None

    def kill(self) -> None:
        """End the process, and with it every actor that it owns."""
        ray.kill(self.actor, no_restart=True)


class SpareDrivers:
    """Keeps ``spare_drivers`` of them; ``on_prepared`` is called whenever one is ready for a job. Lives in the
    registry's event loop.
    """

    def __init__(self, settings: Settings, on_prepared: Callable[[], None]) -> None:
        self._settings = settings
        self._on_prepared = on_prepared
        self._waiting: deque[DriverProcess] = deque()
        self._not_before = time.monotonic() + _START_SECONDS
        self._preparing: set[asyncio.Task[None]] = set()

    async def take(self) -> DriverProcess:
        """A spare that answers, or a new driver where there is none."""
        self._not_before = time.monotonic() + self._settings.spare_delay_seconds
        while self._waiting:
            driver = self._waiting.popleft()
            try:
                await asyncio.wait_for(driver.actor.ping.remote(), _PING_SECONDS)
            except (RayError, TimeoutError) as error:
                logger.warning("spare driver %s does not answer and is given up: %r", driver.name, error)
                driver.kill()
            else:
                return driver
        return self._make()

    def put_back(self, driver: DriverProcess) -> None:
        """For one whose job was not begun, or has completed; it ends where there are enough without it."""
        if len(self._waiting) < self._settings.spare_drivers:
            self._waiting.append(driver)
        else:
            driver.kill()

    def refill(self) -> None:
        """Make what is missing, unless a job or the service began a moment ago."""
        if time.monotonic() < self._not_before:
            return
        while len(self._waiting) < self._settings.spare_drivers:
            driver = self._make()
            self._waiting.append(driver)
            preparation = asyncio.get_running_loop().create_task(self._prepare(driver))
            self._preparing.add(preparation)
            preparation.add_done_callback(self._preparing.discard)

    def remove_strays(self, assigned: Collection[str]) -> None:
        """End the spares, also those of a registry before this one, and whatever else has no job."""
        for named in ray.util.list_named_actors(all_namespaces=True):
            name = named["name"]
            if named["namespace"] != NAMESPACE or not name.startswith(_NAME_PREFIX) or name in assigned:
                continue
            if driver := DriverProcess.named(name):
                driver.kill()

    def _make(self) -> DriverProcess:
        name = f"{_NAME_PREFIX}{uuid.uuid4().hex}"
        actor: Any = (
            ray.remote(JobDriver)
            .options(
                name=name,
                namespace=NAMESPACE,
                lifetime="detached",
                num_cpus=0,
                resources=HEAD_RESOURCES,
                max_concurrency=16,
            )
            .remote(self._settings, ray.get_runtime_context().current_actor)
        )
        return DriverProcess(name, actor)

    async def _prepare(self, driver: DriverProcess) -> None:
        try:
            await driver.actor.prepare.remote()
        except RayError as error:
            logger.warning("a spare driver could not be prepared: %s", error)
            if driver in self._waiting:
                self._waiting.remove(driver)
                driver.kill()
        else:
            self._on_prepared()
