"""Another cluster takes the bucket over while the first one still runs: the first one's driver ends by itself."""

from __future__ import annotations

import time
from pathlib import Path

from tests.chaos.conftest import CHAOS_SETTINGS
from tests.chaos.disturbed_job import DisturbedJob, Undisturbed, seconds_until
from tests.chaos.journal import Journal
from tests.chaos.processes import pids_of
from tests.chaos.recoveries import Recoveries, Recovery
from tests.integration.service import RunningStack

# Slow enough to be under way still when the second cluster is up; that one works at full speed.
FIRST = CHAOS_SETTINGS | {"CHAOS_SECONDS_PER_TEXT": "0.25"}
SECOND = CHAOS_SETTINGS | {"CHAOS_SECONDS_PER_TEXT": "0", "LABELWORKS_CLASSIFIER_CPUS": "0.4"}


def test_a_driver_that_its_jobs_registry_cannot_reach_finds_out_that_it_was_superseded(
    tmp_path: Path, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    journal = Journal(tmp_path / "journal")
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    takeover = ["tests.chaos.node_cluster", "--nodes", "1", "--bucket-of", str(folders[0])]
    with RunningStack.start(folders[0], **FIRST, **journal.environment()) as first:
        job = DisturbedJob(first, "two-clusters", data)
        kept = job.wait_for_shards(3)
        assert pids_of(first.process.pid, "driver")
        with RunningStack.start(folders[1], program=takeover, **SECOND, **journal.environment()) as job.stack:
            started_at = time.monotonic()
            job.require_whole(undisturbed, kept)
            written = list(job.bucket.list(job.paths.results))
            # Nobody kills it: its own registry is superseded too, and the other one does not know of it.
            seconds = seconds_until(
                lambda: not _working(first), "the first cluster's driver and registry are gone", started_at
            )
            assert list(job.bucket.list(job.paths.results)) == written
            job.require_no_actor_left()
    recoveries.add(Recovery("driver, by another cluster", seconds, "it has ended by itself", 0, len(data.splitlines())))


def _working(stack: RunningStack) -> list[int]:
    kinds = ("driver", "classifier", "registry")
    return [pid for kind in kinds for pid in pids_of(stack.process.pid, kind)]  # type: ignore[arg-type]
