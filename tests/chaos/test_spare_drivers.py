"""Spare driver processes: whatever happens to them, jobs are done whole, and none is left over."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.conftest import CHAOS_SETTINGS
from tests.chaos.disturbed_job import GOOD_LINES, DisturbedJob, Undisturbed
from tests.chaos.journal import Journal
from tests.chaos.processes import kill_one, pids_of, wait_until
from tests.integration.service import RunningStack


@pytest.fixture(scope="module")
def stack(undisturbed: Undisturbed, stack_folder: Path, journal: Journal) -> Iterator[RunningStack]:
    """A stack that keeps one spare driver."""
    settings = CHAOS_SETTINGS | {"LABELWORKS_SPARE_DRIVERS": "1", "LABELWORKS_SPARE_DELAY_SECONDS": "5"}
    with RunningStack.start(stack_folder, **settings, **journal.environment()) as running:
        yield running


def test_a_spare_driver_that_died_unnoticed_is_not_given_a_job(
    stack: RunningStack, data: bytes, undisturbed: Undisturbed
) -> None:
    _wait_for_drivers(stack, 1)
    kill_one(stack.process.pid, "driver")
    DisturbedJob(stack, "spare-dies", data).require_whole(undisturbed, {})
    _require_only_a_spare_left(stack)


def test_a_job_goes_on_when_its_driver_dies_together_with_the_spare(
    stack: RunningStack, data: bytes, undisturbed: Undisturbed
) -> None:
    job = DisturbedJob(stack, "both-die", data)
    kept = job.wait_for_shards(3)
    for pid in _wait_for_drivers(stack, 2):
        os.kill(pid, signal.SIGKILL)
    job.require_whole(undisturbed, kept)
    _require_only_a_spare_left(stack)


def test_a_registry_that_comes_back_adopts_the_jobs_driver_and_leaves_no_spare_over(
    stack: RunningStack, journal: Journal, data: bytes, undisturbed: Undisturbed
) -> None:
    before = journal.texts()
    job = DisturbedJob(stack, "registry-dies-beside-a-spare", data)
    kept = job.wait_for_shards(1)
    _wait_for_drivers(stack, 2)
    kill_one(stack.process.pid, "registry")
    job.require_whole(undisturbed, kept)
    job.require_little_rework(journal, before, GOOD_LINES, deaths=0)
    _require_only_a_spare_left(stack)


def test_a_cancelled_job_leaves_no_classifier_and_only_the_spare_driver(stack: RunningStack, data: bytes) -> None:
    job = DisturbedJob(stack, "cancelled-beside-a-spare", data)
    job.wait_for_shards(1)
    with job.client() as client:
        assert client.post(f"/v1/batch/{job.job_id}/cancel").status_code == 202
    _require_only_a_spare_left(stack)


def test_the_driver_of_a_completed_job_does_the_next_one_as_if_it_were_its_first(
    undisturbed: Undisturbed, tmp_path: Path, data: bytes
) -> None:
    settings = CHAOS_SETTINGS | {"LABELWORKS_SPARE_DRIVERS": "1", "LABELWORKS_SPARE_DELAY_SECONDS": "600"}
    settings |= Journal(tmp_path / "journal").environment() | {"CHAOS_SECONDS_PER_TEXT": "0"}
    with RunningStack.start(tmp_path, **settings) as stack:
        seen = set()
        for account in ("first", "second", "third"):
            DisturbedJob(stack, account, data).require_whole(undisturbed, {})
            _require_only_a_spare_left(stack)
            seen.update(pids_of(stack.process.pid, "driver"))
        assert len(seen) == 1


def _wait_for_drivers(stack: RunningStack, count: int) -> list[int]:
    """Wait until there are so many driver processes; their pids."""

    def probe() -> list[int]:
        found = pids_of(stack.process.pid, "driver")
        return found if len(found) == count else []

    return wait_until(probe, f"there are {count} drivers", 60)


def _require_only_a_spare_left(stack: RunningStack) -> None:
    wait_until(lambda: not pids_of(stack.process.pid, "classifier"), "every classifier is gone", 30)
    _wait_for_drivers(stack, 1)
