"""Counts the calls that classify without a job, on their way to the usage ledger."""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime

from pipelines.exceptions import StorageUnavailable
from serve_app.usage import Usage, UsageLedger

logger = logging.getLogger(__name__)

# What a killed replica loses; one write a second for each account that calls.
_FLUSH_SECONDS = 1.0


class CallMeter:
    """What one API replica has answered since it started, by account and day. Thread-safe.

    It is stored whole by ``flush``, which may be called at any time: a killed replica loses what came after the last.
    ``flushing`` calls it every second.
    """

    def __init__(self, ledger: UsageLedger) -> None:
        self._ledger = ledger
        self._source = f"calls-{uuid.uuid4().hex}"
        self._counted: dict[tuple[str, date], Usage] = {}
        self._unsaved: set[tuple[str, date]] = set()
        self._lock = threading.Lock()

    def count(self, account: str, *, items: int, items_failed: int, tokens: int) -> None:
        """One answered call of so many texts. Touches no storage."""
        day = account, datetime.now(UTC).date()
        with self._lock:
            counted = self._counted.get(day, Usage())
            self._counted[day] = counted + Usage(calls=1, items=items, items_failed=items_failed, tokens=tokens)
            self._unsaved.add(day)

    def flush(self) -> None:
        """Store what is not stored yet. Raises StorageUnavailable; the next flush stores it then."""
        with self._lock:
            unsaved = {day: self._counted[day] for day in self._unsaved}
        for (account, day), usage in unsaved.items():
            self._ledger.record(account, day, self._source, usage)
            with self._lock:
                if self._counted[account, day] == usage:
                    self._unsaved.discard((account, day))
        self._drop_old_days()

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """Flush from time to time, and once more in the end."""
        ended = asyncio.Event()
        task = asyncio.create_task(self._keep_flushing(ended))
        try:
            yield
        finally:
            # A flush under way is waited for: it would go on in its thread, and put an older total over the last one.
            ended.set()
            await task
            await self._try_flush()

    async def _keep_flushing(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            await self._try_flush()
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _FLUSH_SECONDS)

    async def _try_flush(self) -> None:
        try:
            await asyncio.to_thread(self.flush)
        except StorageUnavailable as error:
            logger.warning("the usage of calls is stored later: %s", error)
        except Exception:
            logger.exception("the usage of calls could not be stored, and is tried again")

    def _drop_old_days(self) -> None:
        today = datetime.now(UTC).date()
        with self._lock:
            for account, day in [known for known in self._counted if known[1] < today and known not in self._unsaved]:
                del self._counted[account, day]
