"""The drivers that work on processing jobs: starting, adopting, hearing and dismissing them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from pipelines.driver import Assignment
from pipelines.engines import runs_on_gpu
from pipelines.exceptions import LabelworksError
from pipelines.job import JobRecord
from pipelines.job_input import JobInput
from pipelines.layout import JobPaths
from pipelines.settings import Settings
from serve_app.admission import Running
from serve_app.spare_drivers import DriverProcess

logger = logging.getLogger(__name__)

# Drivers, Serve's processes and Ray's own ask for no CPU. On a single machine they run beside the classifiers, and one
# classifier fewer with more threads is as fast.
_LEFT_CPUS = 0.25


@dataclass(slots=True)
class _Driver:
    process: DriverProcess
    holds: Running
    on_gpu: bool
    heard_at: float
    reports: int = 0
    died: bool = False
    watch: asyncio.Task[None] | None = field(default=None)


class DriverPool:
    """One detached driver actor a job that runs. Lives in the registry's event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._drivers: dict[str, _Driver] = {}

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._drivers

    def job_ids(self) -> list[str]:
        return list(self._drivers)

    def running(self, on_gpu: bool) -> list[Running]:
        """The classifier slots that are taken on GPUs, or on CPUs, by job."""
        return [driver.holds for driver in self._drivers.values() if driver.on_gpu == on_gpu]

    def launch(self, job: JobRecord, process: DriverProcess) -> None:
        """Give the driver a job whose input, run and slots are set."""
        if job.input is None:
            raise LabelworksError(f"Job {job.job_id} is processing without an input.")
        source = JobInput(JobPaths(job.account, job.job_id), job.input)
        driver = self._driver(process, job)
        ended = process.actor.run.remote(Assignment(source, job.config, job.run, job.slots, job.log_fields))
        driver.watch = asyncio.get_running_loop().create_task(self._watch(driver, ended, job.log_fields))
        self._drivers[job.job_id] = driver

    def adopt(self, job: JobRecord) -> None:
        """After the registry's restart: a driver that lives goes on, and is heard of by its next report."""
        process = DriverProcess.named(job.driver) if job.driver else None
        if process is not None:
            self._drivers[job.job_id] = self._driver(process, job)

    def _driver(self, process: DriverProcess, job: JobRecord) -> _Driver:
        holds = Running(job.slots, job.in_kept_slots)
        return _Driver(process, holds, runs_on_gpu(self._settings, job.config.model), time.monotonic())

    @contextmanager
    def hearing(self, job_id: str) -> Iterator[None]:
        """The job's driver reports. It counts as heard all the while: an answer may have to wait for the storage."""
        driver = self._drivers.get(job_id)
        if driver is None:
            yield
            return
        driver.reports += 1
        try:
            yield
        finally:
            driver.reports -= 1
            driver.heard_at = time.monotonic()

    def lost(self) -> list[str]:
        """Jobs whose driver died or has been silent for too long."""
        silent_since = time.monotonic() - self._settings.heartbeat_timeout_seconds
        return [
            job_id
            for job_id, driver in self._drivers.items()
            if driver.died or (not driver.reports and driver.heard_at < silent_since)
        ]

    def release(self, job_id: str) -> DriverProcess | None:
        """Take the driver from its job; it goes on running."""
        driver = self._drivers.pop(job_id, None)
        if driver is None:
            return None
        if driver.watch is not None:
            # From here on its end is expected and does not count as a death.
            driver.watch.cancel()
        return driver.process

    def dismiss(self, job_id: str) -> None:
        """End the job's driver, and with it every actor that it owns."""
        if process := self.release(job_id):
            process.kill()

    async def _watch(self, driver: _Driver, ended: Any, log_fields: dict[str, str | int]) -> None:
        """A driver's death is known as soon as Ray knows it, not only by its silence."""
        try:
            await ended
        except RayError as error:
            logger.warning("the job's driver died: %s", error, extra=log_fields)
            driver.died = True


def slots_now(settings: Settings) -> dict[bool, int]:
    """How many classifiers the cluster can run at once: on GPUs (True), where they are used, and on CPUs (False)."""
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    kinds = (True, False) if settings.classifier_gpus else (False,)
    return {on_gpu: classifier_slots(settings, resources, on_gpu) for on_gpu in kinds}


def classifier_slots(settings: Settings, resources: Mapping[str, float], on_gpu: bool) -> int:
    """How many classifiers a cluster with these resources runs at once on its GPUs, or on its CPUs, some of which
    are left to processes that ask for none."""
    told = settings.gpu_classifier_slots if on_gpu else settings.cpu_classifier_slots
    if told is not None:
        return told
    if on_gpu:
        return max(int(resources.get("GPU", 0)) // settings.classifier_gpus, 1)
    return max(int((resources.get("CPU", 1.0) - _LEFT_CPUS) / settings.classifier_cpus), 1)
