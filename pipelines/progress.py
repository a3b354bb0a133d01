"""How far a job is, from the reports of classifiers that may die, retry and report late. Pure."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from pipelines.counters import Counters, advance
from pipelines.shards import ShardReceipt

_RATE_WINDOW_SECONDS = 30.0
# Joining the shards is still to come when every item is classified.
_CLASSIFIED_SHARE = 0.99


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Items answered and answered with an error so far, what follows from them, and how many ranges have a shard."""

    completed: int
    failed: int
    finished_ranges: int
    progress: float
    rows_per_second: float | None
    eta_seconds: float | None


class ProgressTracker:
    """Counts each item once, however often its range is tried. Thread-safe.

    A range's partial count belongs to one attempt: a later attempt's count takes its place, and the shard's
    receipt replaces both. Snapshots never go back.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._finished: dict[int, ShardReceipt] = {}
        self._partial: dict[int, tuple[int, int, int]] = {}
        self._shown = Counters(0, 0)
        self._history: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()

    def finished(self, receipt: ShardReceipt) -> None:
        with self._lock:
            self._finished[receipt.index] = receipt
            self._partial.pop(receipt.index, None)

    def partial(self, index: int, attempt: int, completed: int, failed: int) -> None:
        """The ``attempt``-th try at range ``index`` has answered so many items."""
        with self._lock:
            if index not in self._finished and attempt >= self._partial.get(index, (0,))[0]:
                self._partial[index] = (attempt, completed, failed)

    def totals(self) -> tuple[int, int, int]:
        """Exact completed, failed and tokens of the finished shards."""
        with self._lock:
            receipts = self._finished.values()
            return (
                sum(receipt.completed for receipt in receipts),
                sum(receipt.failed for receipt in receipts),
                sum(receipt.tokens for receipt in receipts),
            )

    def snapshot(self, now: float) -> Snapshot:
        """The state at ``now`` (seconds of any monotonic clock)."""
        with self._lock:
            completed = sum(receipt.completed for receipt in self._finished.values())
            failed = sum(receipt.failed for receipt in self._finished.values())
            completed += sum(partial[1] for partial in self._partial.values())
            failed += sum(partial[2] for partial in self._partial.values())
            self._shown = shown = advance(self._shown, Counters(completed, failed))
            done = sum(shown)
            finished = len(self._finished)
            rate = self._rate(now, done)
        remaining = max(self._total - done, 0)
        return Snapshot(
            completed=shown.completed,
            failed=shown.failed,
            finished_ranges=finished,
            progress=round(_CLASSIFIED_SHARE * done / self._total, 4) if self._total else 0.0,
            rows_per_second=round(rate, 1) if rate else None,
            eta_seconds=round(remaining / rate, 1) if rate else None,
        )

    def _rate(self, now: float, done: int) -> float | None:
        if not self._history or done == self._history[0][1]:
            # Nothing is answered yet: loading a model says nothing about the speed to come.
            self._history = deque([(now, done)])
            return None
        self._history.append((now, done))
        while now - self._history[0][0] > _RATE_WINDOW_SECONDS and len(self._history) > 2:
            self._history.popleft()
        then, before = self._history[0]
        return (done - before) / (now - then) if now > then and done > before else None
