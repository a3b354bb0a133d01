"""Which queued jobs may run now, and with how many classifiers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

# A job does not begin with less than this part of the common slots if it can use more.
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
    wait together share the slots evenly: one that had all of them would cost the others mostly the time in which its
    classifiers start.
    """
    common = capacity.slots - capacity.kept
    free_common = common - sum(each.slots for each in running if not each.in_kept)
    free_kept = capacity.kept - sum(each.slots for each in running if each.in_kept)
    fair = max(common // _FAIR_PART, 1)
    even = max(common // max(sum(job.small for job in queue), 1), 1)
    admitted: list[Admission] = []
    for job in queue:
        most = min(job.wanted, even) if job.small else job.wanted
        if free_common >= min(most, fair):
            slots = min(most, free_common)
            free_common -= slots
            admitted.append(Admission(job.job_id, slots, in_kept=False))
            continue
        free_common = 0
        if job.small and free_kept > 0:
            free_kept -= 1
            admitted.append(Admission(job.job_id, 1, in_kept=True))
    return admitted
