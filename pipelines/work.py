"""What the classifiers of a job have done, for the operator's metrics. Pure."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Work:
    """Everything since a driver began: seconds in which classifiers were classifying, ranges that were tried again
    since their process had died, and items answered with an error, by code."""

    busy_seconds: float = 0.0
    range_retries: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Work) -> Work:
        return Work(
            self.busy_seconds + other.busy_seconds,
            self.range_retries + other.range_retries,
            Counter(self.errors) + Counter(other.errors),
        )

    def since(self, earlier: Work) -> Work:
        """What was done after ``earlier``, a state of the same tally."""
        return Work(
            self.busy_seconds - earlier.busy_seconds,
            self.range_retries - earlier.range_retries,
            Counter(self.errors) - Counter(earlier.errors),
        )


class WorkTally:
    """Adds up. Thread-safe."""

    def __init__(self) -> None:
        self._done = Work()
        self._lock = threading.Lock()

    def add(self, work: Work) -> None:
        with self._lock:
            self._done += work

    def total(self) -> Work:
        with self._lock:
            return self._done
