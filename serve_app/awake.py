"""Keeps what scales to zero awake for a while after its last use. Pure asyncio."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

_HOLD_SECONDS = 5.0


class Awake:
    """Keeps a call in flight from each use until ``idle_seconds`` after the last one.

    What counts calls now and then, as Serve's autoscaler does, does not see those that take some milliseconds, and
    would take something in steady use for idle. ``hold`` is a call that lasts so many seconds; what it raises ends the
    keeping until the next use.
    """

    def __init__(self, hold: Callable[[float], Awaitable[object]], idle_seconds: float) -> None:
        self._hold = hold
        self._idle_seconds = idle_seconds
        self._until = 0.0
        self._holding: asyncio.Task[None] | None = None

    def used(self) -> None:
        """To be called in the event loop whenever it was used."""
        self._until = time.monotonic() + self._idle_seconds
        if self._holding is None or self._holding.done():
            self._holding = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        while (left := self._until - time.monotonic()) > 0:
            try:
                await self._hold(min(left, _HOLD_SECONDS))
            except Exception as error:  # noqa: BLE001 - whoever uses it next hears of what is wrong
                logger.debug("nothing to keep awake: %r", error)
                return
