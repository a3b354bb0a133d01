"""How many processors this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_CONTROLLER = "cpu"
_VERSION_1 = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


def usable_processors() -> int:
    """Processors this process may be scheduled on: fewer than the machine's where affinity or a quota limits it."""
    schedulable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = processor_quota()
    return schedulable if quota is None else max(1, min(schedulable, math.ceil(quota)))


def processor_quota(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> float | None:
    """The processors' worth of time that the control groups (of either version) above this process leave it, as
    containers are limited; None where nothing is.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    folders = (folder for line in lines for folder in _folders_of(line, cgroups))
    quotas = [_quota_of(folder) for folder in folders]
    return min((quota for quota in quotas if quota is not None), default=None)


def limit_tokenizer_threads(threads: int) -> None:
    """How many threads texts are tokenized on in this process; without effect after the first text was."""
    os.environ["RAYON_NUM_THREADS"] = str(threads)


def _folders_of(line: str, cgroups: Path) -> Iterator[Path]:
    """The group that a line of ``/proc/self/cgroup`` names, and those above it, where they limit processors."""
    hierarchy, controllers, name = line.split(":", 2)
    if hierarchy == "0":
        roots = [cgroups]
    elif _CONTROLLER in controllers.split(","):
        # Mounted under the names of all its controllers, and most often under each of them too.
        roots = [cgroups / _CONTROLLER, cgroups / controllers]
    else:
        return
    for root in roots:
        group = root / name.lstrip("/")
        # Inside a container its own group may be what is mounted, whatever the path says.
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(root))


def _quota_of(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").is_file():
            allowed, period = (folder / "cpu.max").read_text().split()
        else:
            allowed, period = ((folder / name).read_text().strip() for name in _VERSION_1)
        # "max" in version 2 and -1 in version 1 mean that nobody limits this group.
        return None if allowed == "max" or int(allowed) < 0 else int(allowed) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        # The root has no such files, nor a group whose processors nobody limits.
        return None
