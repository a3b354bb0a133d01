from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.progress import ProgressTracker, Snapshot
from pipelines.shards import ShardReceipt


def receipt(index: int, completed: int, failed: int = 0, tokens: int = 0) -> ShardReceipt:
    return ShardReceipt(index=index, completed=completed, failed=failed, tokens=tokens, size=1)


@dataclass(frozen=True)
class Partial:
    index: int
    attempt: int
    completed: int
    failed: int


ITEMS = 10
RANGES = 4


@st.composite
def reports(draw: st.DrawFn) -> list[Partial | ShardReceipt]:
    """Reports of ranges of ten items: late, repeated, of several attempts, and contradicting each other."""
    found: list[Partial | ShardReceipt] = []
    for _ in range(draw(st.integers(0, 25))):
        index = draw(st.integers(0, RANGES - 1))
        failed = draw(st.integers(0, ITEMS))
        if draw(st.booleans()):
            completed = draw(st.integers(0, ITEMS - failed))
            found.append(Partial(index, draw(st.integers(1, 3)), completed, failed))
        else:
            found.append(receipt(index, ITEMS - failed, failed, tokens=7))
    return found


def apply(tracker: ProgressTracker, report: Partial | ShardReceipt) -> None:
    if isinstance(report, ShardReceipt):
        tracker.finished(report)
    else:
        tracker.partial(report.index, report.attempt, report.completed, report.failed)


@given(found=reports())
def test_snapshots_never_go_back_and_never_exceed_the_total(found: list[Partial | ShardReceipt]) -> None:
    tracker = ProgressTracker(ITEMS * RANGES)
    last: Snapshot | None = None
    for now, report in enumerate(found):
        apply(tracker, report)
        snapshot = tracker.snapshot(float(now))
        if last:
            assert snapshot.completed >= last.completed
            assert snapshot.failed >= last.failed
            assert snapshot.progress >= last.progress
        assert snapshot.completed + snapshot.failed <= ITEMS * RANGES
        assert 0 <= snapshot.progress < 1
        assert snapshot.eta_seconds is None or snapshot.eta_seconds >= 0
        assert snapshot.rows_per_second is None or snapshot.rows_per_second >= 0
        last = snapshot


@given(found=reports())
def test_totals_are_those_of_the_last_receipt_of_each_range(found: list[Partial | ShardReceipt]) -> None:
    tracker = ProgressTracker(ITEMS * RANGES)
    receipts = {}
    for report in found:
        apply(tracker, report)
        if isinstance(report, ShardReceipt):
            receipts[report.index] = report
    assert tracker.totals() == (
        sum(each.completed for each in receipts.values()),
        sum(each.failed for each in receipts.values()),
        7 * len(receipts),
    )


def test_a_range_that_is_given_up_after_partial_success_is_not_counted_twice() -> None:
    tracker = ProgressTracker(100)
    for attempt in (1, 2, 3):
        tracker.partial(0, attempt, 60, 0)
        assert tracker.snapshot(float(attempt)).completed == 60
    tracker.finished(receipt(0, completed=0, failed=100))
    snapshot = tracker.snapshot(9.0)
    assert (snapshot.completed, snapshot.failed) == (60, 40)
    assert snapshot.progress == 0.99
    assert tracker.totals() == (0, 100, 0)


def test_a_later_attempt_takes_the_place_of_an_earlier_one() -> None:
    tracker = ProgressTracker(100)
    tracker.partial(0, 1, 8, 0)
    tracker.partial(0, 2, 3, 0)
    tracker.partial(1, 1, 10, 0)
    assert tracker.snapshot(0.0).completed == 13


def test_a_late_report_of_an_old_attempt_is_ignored() -> None:
    tracker = ProgressTracker(100)
    tracker.partial(0, 2, 3, 1)
    tracker.partial(0, 1, 9, 1)
    snapshot = tracker.snapshot(0.0)
    assert (snapshot.completed, snapshot.failed) == (3, 1)


def test_a_late_report_of_a_finished_range_is_ignored() -> None:
    tracker = ProgressTracker(100)
    tracker.finished(receipt(0, 4, 1))
    tracker.partial(0, 9, 5, 5)
    snapshot = tracker.snapshot(0.0)
    assert (snapshot.completed, snapshot.failed) == (4, 1)


def test_a_receipt_takes_the_place_of_the_partial_count() -> None:
    tracker = ProgressTracker(100)
    tracker.partial(0, 1, 4, 1)
    tracker.finished(receipt(0, 9, 1))
    tracker.finished(receipt(0, 9, 1))
    snapshot = tracker.snapshot(0.0)
    assert (snapshot.completed, snapshot.failed) == (9, 1)


def test_a_retry_that_begins_again_does_not_pull_the_snapshot_back() -> None:
    tracker = ProgressTracker(100)
    tracker.partial(0, 1, 40, 2)
    before = tracker.snapshot(0.0)
    tracker.partial(0, 2, 0, 2)
    after = tracker.snapshot(1.0)
    assert (after.completed, after.failed, after.progress) == (before.completed, before.failed, before.progress)


def test_progress_leaves_room_for_the_join_when_every_item_is_answered() -> None:
    tracker = ProgressTracker(10)
    tracker.finished(receipt(0, 10))
    assert tracker.snapshot(0.0).progress == 0.99


def test_a_job_without_items_has_no_progress() -> None:
    snapshot = ProgressTracker(0).snapshot(0.0)
    assert snapshot == Snapshot(
        completed=0, failed=0, finished_ranges=0, progress=0.0, rows_per_second=None, eta_seconds=None
    )


def test_rate_and_remaining_time_follow_from_what_was_answered_since_the_first_look() -> None:
    tracker = ProgressTracker(1000)
    tracker.finished(receipt(0, 500))
    first = tracker.snapshot(100.0)
    assert (first.rows_per_second, first.eta_seconds) == (None, None)
    tracker.partial(1, 1, 90, 10)
    second = tracker.snapshot(110.0)
    assert (second.rows_per_second, second.eta_seconds) == (10.0, 40.0)


def test_the_rate_forgets_what_is_longer_ago_than_its_window() -> None:
    tracker = ProgressTracker(100_000)
    for second in range(100):
        tracker.partial(0, 1, second * 10 if second < 50 else 500 + (second - 50), 0)
        snapshot = tracker.snapshot(float(second))
    assert snapshot.rows_per_second == 1.0


def test_a_job_that_stands_still_has_no_rate() -> None:
    tracker = ProgressTracker(100)
    tracker.partial(0, 1, 10, 0)
    for second in range(60):
        snapshot = tracker.snapshot(float(second))
    assert (snapshot.rows_per_second, snapshot.eta_seconds) == (None, None)


@pytest.mark.parametrize("threads", [4])
def test_reports_of_many_threads_at_once_are_all_counted(threads: int) -> None:
    tracker = ProgressTracker(threads * 250)

    def report(worker: int) -> None:
        for number in range(250):
            tracker.partial(worker * 250 + number, 1, 0, 1)
            tracker.finished(receipt(worker * 250 + number, 1, 0, 2))
            tracker.snapshot(float(number))

    workers = [threading.Thread(target=report, args=(worker,)) for worker in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert tracker.totals() == (threads * 250, 0, threads * 500)
