"""Processes that wait on every node that classifies, with a classifier's code loaded, for the next actor of any job.

Ray gives an actor a process that was started ahead for no job and has run nothing yet, where there is one, and starts
one otherwise. Its public API starts none ahead: this speaks to the raylets as Ray's own processes do (PrestartWorkers
and GetNodeStats of NodeManagerService, src/ray/protobuf/node_manager.proto). What such a process loads says
pipelines/preloaded.py.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import common_pb2, node_manager_pb2
from ray.core.generated.node_manager_pb2_grpc import NodeManagerServiceStub

from pipelines.settings import Settings
from serve_app.isolated_steps import isolated

PRELOAD_VARIABLE = "RAY_preload_python_modules"
PRELOADED = "pipelines.preloaded"
PRESTART_VARIABLE = "RAY_prestart_worker_first_driver"

# Whoever starts the next job at once has the processors first.
_SOON_SECONDS = 2.0
# Nodes come, and any actor or task may take what waits there.
_LOOK_SECONDS = 60.0
# A raylet counts no process that has not started yet.
_START_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 24 * 3600
_CALL_SECONDS = 10.0
_NO_ID = b"\xff"
# Their names are made when they are imported.
_messages: Any = node_manager_pb2
_common: Any = common_pb2


def configure_spare_processes() -> None:
    """Set what every raylet must find in its environment when it starts."""
    os.environ.setdefault(PRELOAD_VARIABLE, PRELOADED)
    # Else Ray starts a process a CPU with its first driver, and what serves would live in them.
    os.environ.setdefault(PRESTART_VARIABLE, "0")


class SpareProcesses:
    """Keeps ``spare_processes`` a node. Lives in the registry's event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._look_at = time.monotonic() + _LOOK_SECONDS
        self._quiet_until = 0.0
        self._asked_at: dict[str, float] = {}
        self._filling: asyncio.Task[None] | None = None

    def job_began(self) -> None:
        """It has the processors for itself for a time."""
        self._quiet_until = time.monotonic() + self._settings.spare_delay_seconds

    def look_soon(self) -> None:
        """A job has ended, or something else may have taken what waits."""
        self._look_at = time.monotonic() + _SOON_SECONDS

    def refill(self, jobs_run: bool) -> None:
        """Start what is missing, unless a job that runs began a moment ago."""
        now = time.monotonic()
        if not self._settings.spare_processes or now < self._look_at or (jobs_run and now < self._quiet_until):
            return
        if self._filling is None or self._filling.done():
            self._look_at = now + _LOOK_SECONDS
            self._filling = asyncio.get_running_loop().create_task(asyncio.to_thread(self._fill, now))

    def _fill(self, now: float) -> None:
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            if not node["Alive"] or not _holds_classifier(self._settings, node["Resources"]):
                continue
            address = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
            if now - self._asked_at.get(address, float("-inf")) < _START_SECONDS:
                continue
            with isolated("starting processes ahead", node=address):
                if fill_node(address, self._settings.spare_processes):
                    self._asked_at[address] = now


def fill_node(address: str, wanted: int) -> int:
    """Have the raylet at ``address`` start what is missing of ``wanted`` processes for no job; how many those are.

    Raises grpc.RpcError where it does not answer.
    """
    with init_grpc_channel(address) as channel:
        raylet: Any = NodeManagerServiceStub(channel)  # type: ignore[no-untyped-call]
        stats = raylet.GetNodeStats(_messages.GetNodeStatsRequest(), timeout=_CALL_SECONDS)
        missing = max(wanted - sum(_is_spare(worker) for worker in stats.core_workers_stats), 0)
        if missing:
            request = _messages.PrestartWorkersRequest(
                language=_common.PYTHON, num_workers=missing, keep_alive_duration_secs=_KEEP_ALIVE_SECONDS
            )
            raylet.PrestartWorkers(request, timeout=_CALL_SECONDS)
    return missing


def _is_spare(worker: Any) -> bool:
    return worker.worker_type == _common.WORKER and not worker.job_id.strip(_NO_ID)


def _holds_classifier(settings: Settings, resources: Mapping[str, float]) -> bool:
    on_gpu = 0 < settings.classifier_gpus <= resources.get("GPU", 0)
    return on_gpu or resources.get("CPU", 0) >= settings.classifier_cpus
