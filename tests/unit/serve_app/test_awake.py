from __future__ import annotations

import asyncio
import time

from serve_app import awake as module
from serve_app.awake import Awake


class Holds:
    """How many calls are in flight, and when the last one ended."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.most = 0
        self.calls = 0
        self.ended = 0.0

    async def __call__(self, seconds: float) -> None:
        self.calls += 1
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(seconds)
        self.in_flight -= 1
        self.ended = time.monotonic()


def test_one_call_is_in_flight_from_the_first_use_until_the_time_after_the_last() -> None:
    async def run() -> None:
        holds = Holds()
        awake = Awake(holds, 0.3)
        assert holds.calls == 0
        for _ in range(5):
            awake.used()
            await asyncio.sleep(0.1)
            assert holds.in_flight == 1
        last = time.monotonic() - 0.1
        await asyncio.sleep(0.5)
        assert holds.in_flight == 0
        assert holds.most == 1
        assert holds.ended - last >= 0.29
        awake.used()
        await asyncio.sleep(0.05)
        assert holds.in_flight == 1

    asyncio.run(run())


def test_a_call_lasts_no_longer_than_what_ends_the_service_waits_for() -> None:
    async def run() -> None:
        lasted: list[float] = []

        async def hold(seconds: float) -> None:
            lasted.append(seconds)
            await asyncio.sleep(0)

        awake = Awake(hold, 1e9)
        awake.used()
        await asyncio.sleep(0.01)
        assert set(lasted) == {module._HOLD_SECONDS}
        awake._until = 0.0

    asyncio.run(run())


def test_what_cannot_be_held_is_tried_again_at_the_next_use_only() -> None:
    async def run() -> None:
        tried = 0

        async def hold(seconds: float) -> None:
            nonlocal tried
            tried += 1
            raise RuntimeError("it is gone")

        awake = Awake(hold, 60)
        for expected in (1, 2):
            awake.used()
            await asyncio.sleep(0.01)
            assert tried == expected

    asyncio.run(run())
