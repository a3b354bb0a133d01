"""More jobs than the machine has room for: all of them end, and small ones do not wait for large ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.chaos.disturbed_job import DisturbedJob, Undisturbed
from tests.integration.service import RunningStack, ndjson
from tests.integration.texts import varied_texts

JOBS = 8


def test_eight_jobs_of_eight_accounts_started_at_once_all_complete(stack: RunningStack) -> None:
    data = ndjson(varied_texts(500, seed=8))
    with ThreadPoolExecutor(JOBS) as threads:
        jobs = list(threads.map(lambda number: DisturbedJob(stack, f"at-once-{number}", data), range(JOBS)))
    ends = [job.end() for job in jobs]
    assert [(state["status"], state["requests_completed"]) for state in ends] == [("completed", 500)] * JOBS
    results = {job.results() for job in jobs}
    assert len(results) == 1
    assert len(results.pop().splitlines()) == 500
    jobs[0].require_no_actor_left()


def test_a_small_job_ends_while_large_ones_run_and_wait(
    stack: RunningStack, data: bytes, undisturbed: Undisturbed
) -> None:
    large = [DisturbedJob(stack, f"large-{number}", data) for number in range(2)]
    large[0].wait_for_shards(1)
    small = DisturbedJob(stack, "small", ndjson(varied_texts(60)))
    assert small.end()["status"] == "completed"
    states = [job.state() or {} for job in large]
    assert [(state["status"], state["phase"]) for state in states] == [
        ("processing", "classifying"),
        ("processing", "queued"),
    ]
    for job in large:
        job.require_whole(undisturbed, {})
    large[0].require_no_actor_left()
