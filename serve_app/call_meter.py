"""Counts the calls that classify without a job, on their way to the usage ledger."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, date, datetime

from serve_app.usage import Usage, UsageLedger


class CallMeter:
    """What one API replica has answered since it started, by account and day. Thread-safe.

    It is stored whole by ``flush``, which may be called at any time: a killed replica loses what came after the last.
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

    def _drop_old_days(self) -> None:
        today = datetime.now(UTC).date()
        with self._lock:
            for account, day in [known for known in self._counted if known[1] < today and known not in self._unsaved]:
                del self._counted[account, day]
