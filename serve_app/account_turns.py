"""Changes to what an account has, one at a time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pipelines.exceptions import Unavailable
from serve_app.storage_places import StoragePlaces


class AccountTurns:
    """A call waits for its account's turn for ``seconds`` at most, ``ready`` included, which is awaited first.

    Those whose turn has come are bounded by ``places`` while the storage does not answer.
    """

    def __init__(self, ready: Callable[[], Awaitable[None]], places: StoragePlaces, seconds: float) -> None:
        self._ready = ready
        self._places = places
        self._seconds = seconds
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def is_busy(self, account: str) -> bool:
        return account in self._locks and self._locks[account].locked()

    def of(self, account: str) -> asyncio.Lock:
        """The account's turn, for what waits for it however long that takes."""
        return self._locks[account]

    @asynccontextmanager
    async def exclusively(self, account: str) -> AsyncIterator[None]:
        """For one short change to what an account has at a time.

        Raises Unavailable where the turn does not come in time, StorageUnavailable where too many wait for the storage,
        and as ``ready`` does.
        """
        async with self.in_turn(account):
            with self._places.place():
                yield

    @asynccontextmanager
    async def in_turn(self, account: str) -> AsyncIterator[None]:
        """The same for a change that may take long though the storage answers."""
        lock = self._locks[account]
        try:
            async with asyncio.timeout(self._seconds):
                await self._ready()
                await lock.acquire()
        except TimeoutError as error:
            raise Unavailable("An earlier call of this account is not done yet. Try again shortly.") from error
        try:
            yield
        finally:
            lock.release()
