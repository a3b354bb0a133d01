"""Counters of answered items that may be contradicted later but must not be seen to go back."""

from __future__ import annotations

from typing import NamedTuple


class Counters(NamedTuple):
    """Items classified, and items answered with an error."""

    completed: int
    failed: int


def advance(shown: Counters, counted: Counters) -> Counters:
    """What to show after ``shown`` when ``counted`` is the truth now: neither goes back, nor is an item shown twice.

    If a range is given up half-way, all its items count as failed, though some were shown as completed. Those are shown
    as completed until the job ends and its exact counters are known.
    """
    answered = max(sum(shown), sum(counted))
    completed = min(max(counted.completed, shown.completed), answered - shown.failed)
    return Counters(completed, answered - completed)
