"""Another cluster takes the bucket over while the first one still runs: the first one gives up, and stays so."""

from __future__ import annotations

import time
from pathlib import Path

from pipelines.layout import REGISTRY_EPOCH_KEY
from tests.chaos.conftest import CHAOS_SETTINGS
from tests.chaos.disturbed_job import DisturbedJob, Undisturbed, seconds_until
from tests.chaos.journal import Journal
from tests.chaos.processes import pids_of, wait_until
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
            # The second cluster's registry does not know of it.
            seconds = seconds_until(lambda: not _working(first), "the first cluster's driver is gone", started_at)
            assert list(job.bucket.list(job.paths.results)) == written
            _require_idle(first, job)
            job.require_no_actor_left()
    recoveries.add(Recovery("driver, by another cluster", seconds, "it has ended by itself", 0, len(data.splitlines())))


def _require_idle(first: RunningStack, job: DisturbedJob) -> None:
    """Whoever calls it, the first cluster answers 503 and leaves the bucket to the other one."""
    claimed = job.bucket.get(REGISTRY_EPOCH_KEY)
    with first.client(job.api_key) as client:
        for _ in range(2):
            answers = [
                client.post("/v1/batch", json={"labels": ["good", "bad"]}),
                client.get(f"/v1/batch/{job.job_id}"),
            ]
            assert [answer.status_code for answer in answers] == [503, 503]
            assert "Another cluster has taken this bucket over" in answers[1].json()["message"]
    assert job.bucket.get(REGISTRY_EPOCH_KEY) == claimed
    assert pids_of(first.process.pid, "registry")
    wait_until(lambda: not _working(first), "no driver is left of the first cluster", 30)


def _working(stack: RunningStack) -> list[int]:
    kinds = ("driver", "classifier")
    return [pid for kind in kinds for pid in pids_of(stack.process.pid, kind)]  # type: ignore[arg-type]
