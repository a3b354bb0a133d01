"""The stack is stopped or killed in mid-job and started again: the job goes on where its shards end."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from serve_app.embedded.state import ray_address
from tests.integration.service import (
    RunningStack,
    create_uploaded,
    download,
    has_ended,
    ndjson,
    run_to_end,
    start,
    wait_for,
)
from tests.integration.texts import varied_texts

# Small ranges, so that a job of a few seconds has finished shards to keep when it is interrupted; an input that
# counts as too large to be kept in memory, or to be scanned by the driver alone.
LARGE_INPUT = {
    "LABELWORKS_RANGE_MIN_BYTES": "16384",
    "LABELWORKS_PREFETCH_BYTES": "0",
    "LABELWORKS_DRIVER_SCAN_BYTES": "0",
}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def polled(stack: RunningStack, job_id: str) -> Iterator[Counter[int]]:
    """How often each status answered a client that never stops asking for a job, wherever there was an answer."""
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def poll() -> None:
        headers = {"Authorization": f"Bearer {stack.api_key}"}
        while not over.wait(0.02):
            try:
                answer = httpx.get(f"{stack.url}/v1/batch/{job_id}", headers=headers, timeout=60)
            except httpx.TransportError:
                continue
            statuses[answer.status_code] += 1

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        yield statuses
    finally:
        over.set()
        poller.join()


def test_a_job_survives_the_death_of_every_process_and_its_results_are_the_same_bytes(tmp_path: Path) -> None:
    data = ndjson(varied_texts(2400))
    stack = RunningStack.start(tmp_path, **LARGE_INPUT)
    with stack, stack.client() as client:
        _, undisturbed = run_to_end(client, data)
        job_id = create_uploaded(client, data)
        start(client, job_id)
        before = wait_for(client, job_id, lambda state: state["requests_completed"] >= 600)
        stack.kill()

    with polled(stack, job_id) as statuses:
        restarted = RunningStack.start(tmp_path, **LARGE_INPUT)
        with restarted, restarted.client() as client:
            assert restarted.url == stack.url
            assert restarted.api_key == stack.api_key
            resumed = wait_for(client, job_id, lambda state: state["requests_total"] > 0)
            final = wait_for(client, job_id, has_ended)
            assert download(client, job_id) == undisturbed
    # Serve's proxy listens before the application is there.
    assert statuses[200]
    assert set(statuses) <= {200, 503}
    assert before["status"] == "processing"
    assert resumed["status"] in ("processing", "completed")
    assert (final["status"], final["requests_completed"], final["attempt"]) == ("completed", 2400, 1)


def test_ctrl_c_stops_the_stack_and_leaves_no_process_and_no_address_of_its_ray_behind(tmp_path: Path) -> None:
    stack = RunningStack.start(tmp_path)
    with stack.client() as client:
        job_id = create_uploaded(client, ndjson(varied_texts(2000)))
        start(client, job_id)
        wait_for(client, job_id, lambda state: state["phase"] == "classifying")
    processes = stack.processes()
    assert ray_address(tmp_path)
    stack.stop(signal.SIGINT)
    assert stack.process.returncode == 0
    assert len(processes) > 5
    assert [pid for pid in processes if alive(pid)] == []
    assert ray_address(tmp_path) is None
