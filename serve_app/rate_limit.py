"""How many requests a key may make in a time. Pure: the clock is the caller's."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from math import floor

_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit: ``remaining`` requests now, all of them again in ``reset_seconds``.

    ``retry_seconds`` is how long to wait for the next request, 0 where one is allowed now.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: float
    retry_seconds: float


@dataclass(slots=True)
class _Counted:
    """The requests of late, by the second in which they came, oldest first."""

    seconds: deque[tuple[int, int]] = field(default_factory=deque)
    total: int = 0

    def forget_before(self, second: int) -> None:
        while self.seconds and self.seconds[0][0] < second:
            self.total -= self.seconds.popleft()[1]

    def add(self, second: int) -> None:
        count = self.seconds.pop()[1] if self.seconds and self.seconds[-1][0] == second else 0
        self.seconds.append((second, count + 1))
        self.total += 1


class RequestLimit:
    """``limit`` requests for each name within any ``seconds``, all at once or spread.

    They are counted by whole seconds, and the one that has begun counts whole: of 60 seconds, requests that are spread
    evenly meet the limit at 60/61 of it. One of ``shares`` replicas that share the limit: each takes its part of the
    requests, at least one, and answers for all. Thread-safe; remembers only names of the last ``seconds``.
    """

    def __init__(self, limit: int, shares: int = 1, seconds: int = _MINUTE) -> None:
        self._limit = limit
        self._shares = shares
        self._share = max(limit // shares, 1)
        self._seconds = seconds
        # In the order of the last request.
        self._counted: OrderedDict[str, _Counted] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, now: float) -> Allowance:
        """Count a request at ``now`` (seconds of a clock that never goes back) unless it is over the limit."""
        second = floor(now)
        with self._lock:
            self._forget(second)
            counted = self._counted.setdefault(name, _Counted())
            counted.forget_before(second - self._seconds)
            allowed = counted.total < self._share
            if allowed:
                counted.add(second)
                self._counted.move_to_end(name)
            first, last = counted.seconds[0][0], counted.seconds[-1][0]
            left = self._share - counted.total
        return Allowance(
            allowed=allowed,
            limit=self._limit,
            remaining=min(left * self._shares, self._limit),
            reset_seconds=last + self._seconds + 1 - now,
            retry_seconds=0.0 if allowed else first + self._seconds + 1 - now,
        )

    def _forget(self, second: int) -> None:
        # The oldest are looked at, as many as may be added.
        for _ in range(2):
            name = next(iter(self._counted), None)
            if name is None or self._counted[name].seconds[-1][0] >= second - self._seconds:
                return
            del self._counted[name]
