"""The object storage has no room in mid-job: the job waits for some, and says what was wrong where it gave up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.bucket import set_room_for_objects, shards_of, takes_objects
from tests.chaos.conftest import CHAOS_SETTINGS
from tests.chaos.disturbed_job import GOOD_LINES, DisturbedJob, Undisturbed, seconds_until
from tests.chaos.journal import Journal
from tests.chaos.processes import wait_until
from tests.chaos.recoveries import Recoveries, Recovery
from tests.integration.service import RunningStack, bucket_of

FULL_SECONDS = 20.0
RETRY_SECONDS = 45.0


@pytest.fixture(scope="module")
def stack(undisturbed: Undisturbed, stack_folder: Path, journal: Journal) -> Iterator[RunningStack]:
    settings = CHAOS_SETTINGS | {"LABELWORKS_S3_RETRY_SECONDS": str(RETRY_SECONDS), "CHAOS_SECONDS_PER_TEXT": "0.04"}
    with RunningStack.start(stack_folder, **settings, **journal.environment()) as running:
        yield running


def test_a_job_goes_on_when_there_is_room_again_and_polls_are_answered_meanwhile(
    stack: RunningStack, journal: Journal, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    before = journal.texts()
    job = DisturbedJob(stack, "disk-full", data)
    kept = job.wait_for_shards(3)
    with full_disk(stack, job), job.client() as client:
        full_until = time.monotonic() + FULL_SECONDS
        refused = client.post("/v1/batch", json={"labels": ["a", "b"]})
        while time.monotonic() < full_until:
            polled = client.get(f"/v1/batch/{job.job_id}")
            assert (polled.status_code, polled.json()["status"]) == (200, "processing")
            time.sleep(1)
    assert refused.status_code == 503, refused.text
    assert int(refused.headers["Retry-After"]) > 0
    known = len(shards_of(job.bucket, job.paths))
    seconds = seconds_until(
        lambda: len(shards_of(job.bucket, job.paths)) > known or job.has_ended(), "shards are written", time.monotonic()
    )
    job.require_whole(undisturbed, kept)
    rework = job.require_little_rework(journal, before, GOOD_LINES, deaths=0)
    job.require_no_actor_left()
    recoveries.add(Recovery("S3, disk full for 20 s", seconds, "a shard is written, from then on", rework, GOOD_LINES))


def test_a_job_that_waited_for_room_too_long_fails_says_so_and_can_be_started_again(
    stack: RunningStack, data: bytes, undisturbed: Undisturbed
) -> None:
    job = DisturbedJob(stack, "disk-full-for-long", data)
    kept = job.wait_for_shards(3)
    with full_disk(stack, job):
        time.sleep(2 * RETRY_SECONDS)
        # It has given up; that it has failed cannot be stored now either.
        polled = job.state()
    failed = job.end()
    assert polled
    assert polled["status"] == "processing"
    assert failed["status"] == "failed"
    assert "45 seconds" in failed["error"]
    assert "free space" in failed["error"]
    with job.client() as client:
        assert client.post(f"/v1/batch/{job.job_id}/start").status_code == 202
    job.require_whole(undisturbed, kept)
    job.require_no_actor_left()


@contextmanager
def full_disk(stack: RunningStack, job: DisturbedJob) -> Iterator[None]:
    """From when the server really refuses to store until it stores again."""
    bucket = bucket_of(stack.folder, retry_seconds=0)
    set_room_for_objects(stack.folder, 1)
    try:
        wait_until(lambda: not takes_objects(bucket), "the disk is full", 60)
        assert not job.has_ended()
        yield
    finally:
        set_room_for_objects(stack.folder, 0)
    wait_until(lambda: takes_objects(bucket), "there is room again", 60)
