"""Which queued jobs may run now, and with how many classifiers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

# A job does not begin with less than this part of the common slots if it can use more and does not share them.
_FAIR_PART = 4


@dataclass(frozen=True, slots=True)
class Capacity:
    """The cluster's classifier slots. ``kept`` of them are only for small jobs, so that these need not wait."""

    slots: int
    kept: int

    @classmethod
    def of(cls, slots: int, kept_share: float) -> Capacity:
        """Keeps ``kept_share`` of the slots, at least one where there are two, for small jobs."""
        slots = max(slots, 1)
        return cls(slots, min(max(ceil(slots * kept_share), 1), slots - 1))


@dataclass(frozen=True, slots=True)
class Running:
    """A job that holds ``slots``, from the kept ones if ``in_kept``."""

    slots: int
    in_kept: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued job. ``wanted`` is how many classifiers it can use."""

    job_id: str
    small: bool
    wanted: int


@dataclass(frozen=True, slots=True)
class Admission:
    """A job that may run now, with a pool of ``slots`` classifiers for its whole run."""

    job_id: str
    slots: int
    in_kept: bool


def admit(capacity: Capacity, running: Sequence[Running], queue: Sequence[Waiting]) -> list[Admission]:
    """Go through the queue in its order (oldest start first).

    A job takes what is free of the common slots, but waits for a fair part of them, since its pool never grows.
    Those behind it wait with it, so nobody starves; a small job may pass it only in the kept slots. Small jobs that
    stand one behind the other share what is free: one that had all of it would cost the others mostly the time in which
    its classifiers start.
    """
    common = capacity.slots - capacity.kept
    free_common = common - sum(each.slots for each in running if not each.in_kept)
    free_kept = capacity.kept - sum(each.slots for each in running if each.in_kept)
    admitted: list[Admission] = []
    for small, neighbours in groupby(queue, key=lambda job: job.small):
        jobs = list(neighbours)
        least = max(common // max(_FAIR_PART, len(jobs) if small else 0), 1)
        for place, job in enumerate(jobs):
            needed = min(job.wanted, least)
            if free_common >= needed:
                share = _even_share(free_common, jobs[place:]) if small else free_common
                slots = min(job.wanted, max(share, needed))
                free_common -= slots
                admitted.append(Admission(job.job_id, slots, in_kept=False))
                continue
            free_common = 0
            if small and free_kept > 0:
                free_kept -= 1
                admitted.append(Admission(job.job_id, 1, in_kept=True))
    return admitted


def _even_share(free: int, jobs: Sequence[Waiting]) -> int:
    """How many of the free slots each job may have that can use so many, so that none stays free that one could use."""
    remaining = free
    for place, wanted in enumerate(sorted(job.wanted for job in jobs)):
        left = len(jobs) - place
        if wanted * left > remaining:
            return remaining // left
        remaining -= wanted
    return free
