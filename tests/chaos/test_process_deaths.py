"""One process of the service is killed in mid-job: the job goes on, and nobody can tell from its results."""

from __future__ import annotations

import os
import signal
import time

from tests.chaos.bucket import shards_of
from tests.chaos.disturbed_job import GOOD_LINES, DisturbedJob, Undisturbed, seconds_until
from tests.chaos.journal import Journal
from tests.chaos.processes import Kind, kill_one, pids_of, wait_until
from tests.chaos.recoveries import Recoveries, Recovery
from tests.integration.service import RunningStack


def test_a_classifier_is_replaced_and_only_its_range_is_done_again(
    stack: RunningStack, journal: Journal, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    before = journal.texts()
    job = DisturbedJob(stack, "classifier-dies", data)
    kept = job.wait_for_shards(3)
    seconds = _new_classifier_after_kill(stack, journal, "classifier")
    job.require_whole(undisturbed, kept)
    rework = job.require_little_rework(journal, before, GOOD_LINES)
    job.require_no_actor_left()
    recoveries.add(Recovery("classifier actor", seconds, "its successor classifies", rework, GOOD_LINES))


def test_a_driver_is_replaced_and_goes_on_where_the_shards_end(
    stack: RunningStack, journal: Journal, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    before = journal.texts()
    job = DisturbedJob(stack, "driver-dies", data)
    kept = job.wait_for_shards(3)
    seconds = _new_classifier_after_kill(stack, journal, "driver")
    job.require_whole(undisturbed, kept)
    # Both its classifiers die with it.
    rework = job.require_little_rework(journal, before, GOOD_LINES, deaths=2)
    job.require_no_actor_left()
    recoveries.add(Recovery("job driver", seconds, "its successor's classifiers classify", rework, GOOD_LINES))


def test_a_registry_comes_back_and_adopts_the_driver_that_went_on(
    stack: RunningStack, journal: Journal, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    before = journal.texts()
    job = DisturbedJob(stack, "registry-dies", data)
    kept = job.wait_for_shards(3)
    drivers = pids_of(stack.process.pid, "driver")
    killed_at = time.monotonic()
    killed = kill_one(stack.process.pid, "registry")
    seconds = seconds_until(job.state, "the API knows the job again", killed_at)
    job.require_whole(undisturbed, kept)
    assert pids_of(stack.process.pid, "registry") != [killed]
    assert len(drivers) == 1
    rework = job.require_little_rework(journal, before, GOOD_LINES, deaths=0)
    job.require_no_actor_left()
    recoveries.add(Recovery("registry", seconds, "the API tells the job's state", rework, GOOD_LINES))


def test_a_replica_of_the_api_is_replaced_and_the_job_does_not_notice(
    stack: RunningStack, journal: Journal, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    before = journal.texts()
    job = DisturbedJob(stack, "replica-dies", data)
    kept = job.wait_for_shards(3)
    drivers = pids_of(stack.process.pid, "driver")
    killed_at = time.monotonic()
    kill_one(stack.process.pid, "replica")
    # A request may be under way in the replica that dies; what counts is that the API is back for good.
    seconds = seconds_until(lambda: all(job.state() for _ in range(3)), "the API answers again", killed_at)
    # On a busy machine the job may have ended before the API was back, and its driver with it; none took its place.
    assert set(pids_of(stack.process.pid, "driver")) <= set(drivers)
    job.require_whole(undisturbed, kept)
    rework = job.require_little_rework(journal, before, GOOD_LINES, deaths=0)
    job.require_no_actor_left()
    recoveries.add(Recovery("Serve replica", seconds, "the API answers three times running", rework, GOOD_LINES))


def test_the_storage_server_comes_back_and_the_job_goes_on(
    stack: RunningStack, journal: Journal, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    before = journal.texts()
    job = DisturbedJob(stack, "gateway-dies", data)
    kept = job.wait_for_shards(3)
    killed_at = time.monotonic()
    kill_one(stack.process.pid, "gateway")
    seconds = seconds_until(
        lambda: len(shards_of(job.bucket, job.paths)) > len(kept) + 2, "shards are written", killed_at
    )
    job.require_whole(undisturbed, kept)
    rework = job.require_little_rework(journal, before, GOOD_LINES, deaths=0)
    job.require_no_actor_left()
    recoveries.add(Recovery("S3 server", seconds, "three more shards are written", rework, GOOD_LINES))


def test_a_job_whose_driver_keeps_dying_fails_and_says_why_and_can_be_started_again(
    stack: RunningStack, journal: Journal, data: bytes, undisturbed: Undisturbed
) -> None:
    job = DisturbedJob(stack, "driver-keeps-dying", data)
    kept = job.wait_for_shards(2)
    killed: set[int] = set()

    def living() -> list[int]:
        return [pid for pid in pids_of(stack.process.pid, "driver") if pid not in killed]

    while wait_until(lambda: living() or job.has_ended(), "there is another driver, or the job fails", 60):
        if job.has_ended():
            break
        for pid in living():
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    # The first death came after finished shards, and counts only if these were not known yet.
    assert len(killed) in (6, 7)
    failed = job.end()
    assert failed["status"] == "failed"
    assert "driver died 6 times" in failed["error"]
    job.require_no_actor_left()
    with job.client() as client:
        assert client.post(f"/v1/batch/{job.job_id}/start").status_code == 202
    job.require_whole(undisturbed, kept)


def test_a_cancelled_job_leaves_no_actor_behind_and_goes_on_when_it_is_started_again(
    stack: RunningStack, journal: Journal, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    before = journal.texts()
    job = DisturbedJob(stack, "cancelled", data)
    kept = job.wait_for_shards(3)
    cancelled_at = time.monotonic()
    with job.client() as client:
        assert client.post(f"/v1/batch/{job.job_id}/cancel").status_code == 202
    job.require_no_actor_left()
    seconds = time.monotonic() - cancelled_at
    assert job.end()["error"] == "cancelled"
    with job.client() as client:
        assert client.post(f"/v1/batch/{job.job_id}/start").status_code == 202
    job.require_whole(undisturbed, kept)
    rework = job.require_little_rework(journal, before, GOOD_LINES, deaths=2)
    recoveries.add(Recovery("a job, by its client", seconds, "none of its actors is left", rework, GOOD_LINES))


def test_a_superseded_driver_that_wakes_up_stops_and_writes_nothing(
    stack: RunningStack, journal: Journal, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    job = DisturbedJob(stack, "driver-freezes", data)
    kept = job.wait_for_shards(3)
    (frozen,) = pids_of(stack.process.pid, "driver")
    writers = journal.writers()
    frozen_at = time.monotonic()
    os.kill(frozen, signal.SIGSTOP)
    try:
        seconds = seconds_until(lambda: journal.writers() - writers, "a successor's classifier works", frozen_at)
        job.require_whole(undisturbed, kept)
        written = job.bucket.head(job.paths.results), _modified(job)
    finally:
        _signal_if_alive(frozen, signal.SIGCONT)
    wait_until(lambda: frozen not in pids_of(stack.process.pid, "driver"), "the old driver is gone", 60)
    assert (job.bucket.head(job.paths.results), _modified(job)) == written
    job.require_no_actor_left()
    recoveries.add(Recovery("job driver, frozen", seconds, "its successor's classifiers classify", 0, GOOD_LINES))


def _new_classifier_after_kill(stack: RunningStack, journal: Journal, kind: Kind) -> float:
    writers = journal.writers()
    killed_at = time.monotonic()
    kill_one(stack.process.pid, kind)
    return seconds_until(lambda: journal.writers() - writers, "a new classifier works", killed_at)


def _modified(job: DisturbedJob) -> object:
    return [listed for listed in job.bucket.list(job.paths.prefix) if listed.key == job.paths.results]


def _signal_if_alive(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
