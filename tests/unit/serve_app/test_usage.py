from __future__ import annotations

import asyncio
import threading
from datetime import UTC, date, datetime
from itertools import permutations
from typing import cast

import pytest

from pipelines.exceptions import StorageUnavailable
from pipelines.job import JobConfig, JobRecord
from pipelines.object_store import ObjectStore
from serve_app import call_meter
from serve_app.call_meter import CallMeter
from serve_app.usage import Usage, UsageLedger
from tests.unit.serve_app.memory_store import MemoryStore

DAY = date(2026, 11, 24)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def ledger(store: MemoryStore) -> UsageLedger:
    return UsageLedger(cast(ObjectStore, store))


def of(ledger: UsageLedger, account: str = "acme") -> dict[date, Usage]:
    return ledger.by_day(account, date(2026, 1, 1), date(2027, 1, 1))


def completed(
    job_id: str = "batch_0000000000000001", at: datetime = datetime(2026, 11, 24, 23, 59, tzinfo=UTC)
) -> JobRecord:
    return JobRecord(
        job_id=job_id,
        account="acme",
        config=JobConfig(labels=("a",), model="minilm"),
        created_at=at,
        status="completed",
        completed_at=at,
        requests_total=10,
        requests_completed=8,
        requests_failed=2,
        actual_tokens=70,
    )


def test_a_completed_job_counts_once_however_often_it_is_recorded(ledger: UsageLedger) -> None:
    for _ in range(3):
        ledger.record_job(completed())
    assert of(ledger) == {DAY: Usage(jobs=1, items=10, items_failed=2, tokens=70)}
    assert of(ledger, "other") == {}


@pytest.mark.parametrize("status", ["pending", "processing", "failed"])
def test_a_job_that_has_not_completed_does_not_count(ledger: UsageLedger, status: str) -> None:
    ledger.record_job(completed().model_copy(update={"status": status}))
    assert of(ledger) == {}


def test_days_are_apart_and_the_range_includes_both_its_ends(ledger: UsageLedger) -> None:
    for number, day in enumerate((22, 23, 24, 25)):
        ledger.record("acme", date(2026, 11, day), f"batch_{number}", Usage(jobs=1, tokens=day))
    found = ledger.by_day("acme", date(2026, 11, 23), date(2026, 11, 24))
    assert {day.day: usage.tokens for day, usage in found.items()} == {23: 23, 24: 24}


def test_an_accounts_usage_holds_nothing_of_an_account_whose_name_begins_alike(ledger: UsageLedger) -> None:
    ledger.record("acme", DAY, "batch_1", Usage(jobs=1))
    ledger.record("acme-2", DAY, "batch_2", Usage(jobs=7))
    ledger.fold()
    assert of(ledger) == {DAY: Usage(jobs=1)}


def test_folding_changes_no_sum_and_leaves_one_object_a_day(store: MemoryStore, ledger: UsageLedger) -> None:
    for number in range(20):
        ledger.record("acme", date(2026, 11, 1 + number % 2), f"batch_{number}", Usage(jobs=1, tokens=number))
    before = of(ledger)
    for _ in range(3):
        ledger.fold()
        assert of(ledger) == before
    assert len(store.objects) == 2


def test_a_job_that_is_recorded_again_after_it_was_folded_still_counts_once(ledger: UsageLedger) -> None:
    ledger.record_job(completed())
    ledger.fold()
    ledger.fold()
    ledger.record_job(completed())
    ledger.record_job(completed("batch_0000000000000002"))
    for _ in range(3):
        assert of(ledger)[DAY].jobs == 2
        ledger.fold()


@pytest.mark.parametrize("order", list(permutations(["fold", "fold again", "more"])))
def test_what_a_source_recorded_last_counts_whatever_was_folded_meanwhile(
    ledger: UsageLedger, order: tuple[str, ...]
) -> None:
    ledger.record("acme", DAY, "calls-x", Usage(calls=1, tokens=5))
    for step in order:
        if step == "more":
            ledger.record("acme", DAY, "calls-x", Usage(calls=2, tokens=9))
        else:
            ledger.fold()
    assert of(ledger) == {DAY: Usage(calls=2, tokens=9)}


class CutOff(MemoryStore):
    """Goes down after so many writes."""

    writes_left = 0

    def put(self, key: str, body: bytes) -> None:
        self._count()
        super().put(key, body)

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._count()
            super().delete(key)

    def _count(self) -> None:
        if self.writes_left == 0:
            raise StorageUnavailable
        self.writes_left -= 1


@pytest.mark.parametrize("writes", range(12))
def test_a_fold_that_was_cut_off_anywhere_changes_no_sum(writes: int) -> None:
    store = CutOff()
    ledger = UsageLedger(cast(ObjectStore, store))
    store.writes_left = 100
    for number in range(6):
        ledger.record("acme", date(2026, 11, 1 + number % 2), f"batch_{number}", Usage(jobs=1, tokens=number))
    before = of(ledger)
    if writes % 2:
        ledger.fold()
    store.writes_left = writes // 2
    try:
        ledger.fold()
    except StorageUnavailable:
        assert of(ledger) == before
    store.writes_left = 100
    ledger.fold()
    assert of(ledger) == before


def test_calls_are_stored_by_account_when_they_are_flushed(ledger: UsageLedger) -> None:
    meter = CallMeter(ledger)
    meter.count("acme", items=1, items_failed=0, tokens=4)
    meter.count("acme", items=20, items_failed=2, tokens=90)
    meter.count("other", items=1, items_failed=0, tokens=1)
    assert used_ever(ledger, "acme") == Usage()
    for _ in range(2):
        meter.flush()
        assert used_ever(ledger, "acme") == Usage(calls=2, items=21, items_failed=2, tokens=94)
    assert used_ever(ledger, "other") == Usage(calls=1, items=1, tokens=1)


def test_two_replicas_add_up(ledger: UsageLedger) -> None:
    for meter in (CallMeter(ledger), CallMeter(ledger)):
        meter.count("acme", items=1, items_failed=0, tokens=4)
        meter.flush()
    assert used_ever(ledger, "acme").calls == 2


def test_a_flush_that_failed_is_made_up_for_by_the_next(store: MemoryStore, ledger: UsageLedger) -> None:
    meter = CallMeter(ledger)
    meter.count("acme", items=1, items_failed=0, tokens=4)
    store.down = True
    with pytest.raises(StorageUnavailable):
        meter.flush()
    store.down = False
    meter.count("acme", items=1, items_failed=0, tokens=4)
    meter.flush()
    assert used_ever(ledger, "acme") == Usage(calls=2, items=2, tokens=8)


def test_what_was_counted_is_stored_when_the_replica_ends(ledger: UsageLedger) -> None:
    async def serve() -> None:
        meter = CallMeter(ledger)
        async with meter.flushing():
            meter.count("acme", items=1, items_failed=0, tokens=4)

    asyncio.run(serve())
    assert used_ever(ledger, "acme").calls == 1


class SlowAtFirst(MemoryStore):
    """Puts its first object only after a second one, if one comes meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.first_began = threading.Event()
        self._second_came = threading.Event()

    def put(self, key: str, body: bytes) -> None:
        if not self.first_began.is_set():
            self.first_began.set()
            self._second_came.wait(0.5)
            super().put(key, body)
        else:
            super().put(key, body)
            self._second_came.set()


@pytest.fixture
def flushing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_meter, "_FLUSH_SECONDS", 0.01)


@pytest.mark.usefixtures("flushing_at_once")
def test_a_flush_under_way_when_the_replica_ends_does_not_undo_the_last_one() -> None:
    store = SlowAtFirst()
    ledger = UsageLedger(cast(ObjectStore, store))

    async def serve() -> None:
        meter = CallMeter(ledger)
        async with meter.flushing():
            meter.count("acme", items=1, items_failed=0, tokens=4)
            await asyncio.to_thread(store.first_began.wait, 30)
            meter.count("acme", items=1, items_failed=0, tokens=4)

    asyncio.run(serve())
    assert used_ever(ledger, "acme").calls == 2


class BrokenOnce(MemoryStore):
    """Its first put fails in a way that no caller knows."""

    def __init__(self) -> None:
        super().__init__()
        self.stored = threading.Event()
        self._broken = True

    def put(self, key: str, body: bytes) -> None:
        if self._broken:
            self._broken = False
            raise ValueError
        super().put(key, body)
        self.stored.set()


@pytest.mark.usefixtures("flushing_at_once")
def test_flushing_goes_on_after_an_error_that_nobody_expects() -> None:
    store = BrokenOnce()

    async def serve() -> bool:
        meter = CallMeter(UsageLedger(cast(ObjectStore, store)))
        async with meter.flushing():
            meter.count("acme", items=1, items_failed=0, tokens=4)
            return await asyncio.to_thread(store.stored.wait, 30)

    assert asyncio.run(serve())


def used_ever(ledger: UsageLedger, account: str) -> Usage:
    return sum(ledger.by_day(account, date.min, date.max).values(), Usage())
