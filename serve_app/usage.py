"""What each account used, by day: kept apart from the jobs, so that it outlives them.

A day is a set of entries, one a source: a completed job, or an API replica with all the calls it answered that day.
Recording a source again replaces its entry, so nothing is counted twice, whatever is retried or restarted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from pydantic import BaseModel, ConfigDict, TypeAdapter

from pipelines.exceptions import ObjectMissing
from pipelines.job import JobRecord
from pipelines.layout import USAGE_PREFIX, read_usage_key, usage_day, usage_entry, usage_prefix
from pipelines.object_store import ObjectStore

_READ_THREADS = 16


class Usage(BaseModel):
    """Completed jobs, their items (``items_failed`` of them answered with an error), calls without a job, tokens."""

    model_config = ConfigDict(frozen=True)

    jobs: int = 0
    items: int = 0
    items_failed: int = 0
    calls: int = 0
    tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            jobs=self.jobs + other.jobs,
            items=self.items + other.items,
            items_failed=self.items_failed + other.items_failed,
            calls=self.calls + other.calls,
            tokens=self.tokens + other.tokens,
        )


_Day = dict[str, Usage]
_day_file = TypeAdapter(_Day)


class UsageLedger:
    """The entries in the bucket. Folding puts those of a day into one object, so that reading stays cheap."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def record(self, account: str, day: date, source: str, usage: Usage) -> None:
        """Set what ``source`` adds to the account's day."""
        self._store.put(usage_entry(account, day, source), usage.model_dump_json().encode())

    def record_job(self, job: JobRecord) -> None:
        """Count a completed job, as often as one likes: its record says on which day, and never changes again."""
        if job.status != "completed" or job.completed_at is None:
            return
        usage = Usage(jobs=1, items=job.requests_total, items_failed=job.requests_failed, tokens=job.actual_tokens or 0)
        self.record(job.account, job.completed_at.date(), job.job_id, usage)

    def by_day(self, account: str, first: date, last: date) -> dict[date, Usage]:
        """The account's usage of each day from ``first`` to ``last`` (inclusive) that has any."""
        found = self._listed(usage_prefix(account))
        wanted = [day for day in found if first <= day.day <= last]
        with ThreadPoolExecutor(_READ_THREADS) as threads:
            days = threads.map(self._entries, wanted, (found[day] for day in wanted))
            return {day.day: sum(entries.values(), Usage()) for day, entries in zip(wanted, days, strict=True)}

    def fold(self) -> None:
        """Put entries into their days. An entry is removed once a later fold has seen it in there."""
        for day, sources in self._listed(USAGE_PREFIX).items():
            stored = self._stored(day)
            entries = self._read(day, sources)
            new = {source: usage for source, usage in entries.items() if stored.get(source) != usage}
            if new:
                self._store.put(usage_day(day.account, day.day), _day_file.dump_json(stored | new))
            settled = entries.keys() - new.keys()
            self._store.delete(*(usage_entry(day.account, day.day, source) for source in settled))

    def _listed(self, prefix: str) -> dict[_AccountDay, list[str]]:
        """The days under a prefix, with the sources that have an entry of their own."""
        found: defaultdict[_AccountDay, list[str]] = defaultdict(list)
        for listed in self._store.list(prefix):
            key = read_usage_key(listed.key)
            found[_AccountDay(key.account, key.day)] += [key.source] if key.source else []
        return found

    def _entries(self, day: _AccountDay, sources: Iterable[str]) -> _Day:
        # In this order: an entry that is gone by now is in the day's object, which is read after it.
        entries = self._read(day, sources)
        return self._stored(day) | entries

    def _read(self, day: _AccountDay, sources: Iterable[str]) -> _Day:
        entries = {}
        for source in sources:
            with suppress(ObjectMissing):
                entries[source] = Usage.model_validate_json(self._store.get(usage_entry(day.account, day.day, source)))
        return entries

    def _stored(self, day: _AccountDay) -> _Day:
        with suppress(ObjectMissing):
            return _day_file.validate_json(self._store.get(usage_day(day.account, day.day)))
        return {}


@dataclass(frozen=True, slots=True)
class _AccountDay:
    account: str
    day: date
