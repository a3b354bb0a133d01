"""How many requests a minute a key may make. Pure: the clock is the caller's."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from math import ceil, floor

_MINUTE = 60.0


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


class RequestLimit:
    """``a_minute`` requests a minute for each name: as many at once at most, refilled evenly.

    One of ``shares`` replicas that share the limit: each takes its part of the requests, and answers for all.
    Thread-safe; remembers only names whose requests are not refilled yet.
    """

    def __init__(self, a_minute: int, shares: int = 1) -> None:
        self._a_minute = a_minute
        self._shares = shares
        self._burst = ceil(a_minute / shares)
        self._interval = _MINUTE / self._burst
        # When each name's allowance is whole again, in the order of the last request.
        self._whole_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, now: float) -> Allowance:
        """Count a request at ``now`` (seconds of a clock that never goes back) unless it is over the limit."""
        with self._lock:
            whole_at = max(self._whole_at.get(name, now), now)
            left = self._burst - (whole_at - now) / self._interval
            # A request is whole but for rounding.
            allowed = left > 1 - 1e-9
            if allowed:
                whole_at += self._interval
                left -= 1
                self._whole_at[name] = whole_at
                self._whole_at.move_to_end(name)
            self._forget(now)
        return Allowance(
            allowed=allowed,
            limit=self._a_minute,
            remaining=min(max(floor(left + 1e-9), 0) * self._shares, self._a_minute),
            reset_seconds=whole_at - now,
            retry_seconds=0.0 if allowed else (1 - left) * self._interval,
        )

    def _forget(self, now: float) -> None:
        # After a minute without a request every allowance is whole: the oldest are looked at, as many as may be added.
        for _ in range(2):
            oldest = next(iter(self._whole_at), None)
            if oldest is None or self._whole_at[oldest] > now:
                return
            del self._whole_at[oldest]
