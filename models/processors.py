"""How many processors this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def usable_processors() -> int:
    """Processors this process may be scheduled on: fewer than the machine's where affinity or a quota limits it."""
    schedulable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = processor_quota()
    return schedulable if quota is None else max(1, min(schedulable, math.ceil(quota)))


def processor_quota(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> float | None:
    """The processors' worth of time that the control groups (version 2) above this process leave it, as containers
    are limited; None where nothing is.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    names = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    folders = [folder for name in names for folder in (cgroups / name, *(cgroups / name).parents)]
    quotas = [_quota_of(folder) for folder in folders if folder.is_relative_to(cgroups)]
    return min((quota for quota in quotas if quota is not None), default=None)


def limit_tokenizer_threads(threads: int) -> None:
    """How many threads texts are tokenized on in this process; without effect after the first text was."""
    os.environ["RAYON_NUM_THREADS"] = str(threads)


def _quota_of(folder: Path) -> float | None:
    try:
        allowed, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        # The root has no such file, nor a group whose processors nobody limits.
        return None
    return None if allowed == "max" else int(allowed) / int(period)
