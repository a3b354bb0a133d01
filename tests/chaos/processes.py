"""The processes of a running stack by what they do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal, TypeVar

from tests.integration.service import descendants

T = TypeVar("T")
Kind = Literal["classifier", "driver", "registry", "replica", "gateway"]

_TITLES: dict[Kind, str] = {
    "classifier": "ray::MapWorker(MapBatches(ClassifierActor))",
    "driver": "ray::JobDriver",
    "registry": "ray::JobRegistry",
    "replica": "ray::ServeReplica",
    "gateway": "juicefs gateway",
}


def pids_of(stack_pid: int, kind: Kind) -> list[int]:
    """The living processes of this kind among the descendants of a stack's process."""
    return [pid for pid in descendants(stack_pid) if _TITLES[kind] in _command(pid)]


def kill_one(stack_pid: int, kind: Kind, *, spare: Collection[int] = (), seconds: float = 30.0) -> int:
    """SIGKILL one process of this kind that is not in ``spare``, waiting for one if there is none; its pid."""

    def find() -> list[int]:
        return [pid for pid in pids_of(stack_pid, kind) if pid not in spare]

    pid = wait_until(find, f"there is a {kind}", seconds)[0]
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_until(probe: Callable[[], T], what: str, seconds: float) -> T:
    """The first true value of ``probe``, asked ten times a second."""
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
    return value


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
