"""The memory of a running stack's processes by what they do, sampled while it works."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from pipelines.settings import MIB

OBJECT_STORE = "object store"
"""Ray's shared memory, of a fixed size, which no process owns; left out of every process."""
_ROLES = (
    (r"ray::MapWorker", "classifier"),
    (r"ray::(driver-\w+:)?JobDriver", "driver"),
    (r"ray::(job-registry:)?JobRegistry", "registry"),
    (r"ray::(SERVE_REPLICA|ServeReplica)\S*preview", "preview replica"),
    (r"ray::(SERVE_REPLICA|ServeReplica)", "API replica"),
    (r"ray::(SERVE_PROXY_ACTOR\S*:)?(Proxy|HTTPProxy)", "Serve proxy"),
    (r"ray::(SERVE_CONTROLLER_ACTOR:)?ServeController", "Serve controller"),
    (r"ray::(DashboardAgent|RuntimeEnvAgent)", "Ray agents"),
    (r"ray::_?(StatsActor|AutoscalingCoordinator|ActorLocationTracker)", "Ray Data helpers"),
    (r"ray::", "task worker"),
    (r"\S*juicefs gateway", "S3 server"),
    (r"\S*gcs_server", "Ray GCS"),
    (r"\S*raylet ", "raylet"),
    (r"\S*python\S* .*(monitor|log_monitor|dashboard)\.py", "Ray monitors"),
    (r"\S*python\S* .*default_worker\.py", "task worker"),
    (r"\S*python\S* .*(labelworks|node_cluster|benchmarks)", "stack"),
)


def role_of(command: str) -> str | None:
    """What a process with this command line does, or None for what is no part of a stack."""
    return next((role for pattern, role in _ROLES if re.match(pattern, command)), None)


def memory_by_role(pids: Iterable[int]) -> dict[str, int]:
    """Bytes of the largest process of each role, shared pages by their share, Ray's object store apart."""
    largest: dict[str, int] = {}
    shared = 0
    for pid in pids:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parts = _rollup(Path(f"/proc/{pid}/smaps_rollup").read_text())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        role = role_of(command)
        if role is None or not parts:
            continue
        own = parts["Pss_Anon"] + parts["Pss_File"]
        largest[role] = max(largest.get(role, 0), own)
        shared += parts["Pss_Shmem"]
    return largest | {OBJECT_STORE: shared}


def _rollup(text: str) -> dict[str, int]:
    return {name: int(kib) * 1024 for name, kib in re.findall(r"^(Pss_\w+):\s+(\d+) kB", text, re.MULTILINE)}


class PeakMemory:
    """Samples the processes with these ids until it is left; ``peaks`` in bytes by role."""

    def __init__(self, pids: Callable[[], Iterable[int]], seconds: float = 1.0) -> None:
        self._pids = pids
        self._seconds = seconds
        self.peaks: dict[str, int] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            for role, size in memory_by_role(self._pids()).items():
                self.peaks[role] = max(self.peaks.get(role, 0), size)
            if self._stopped.wait(self._seconds):
                return


def mib(size: float) -> float:
    return round(size / MIB, 1)
