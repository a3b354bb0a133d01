"""The processes that wait for classifiers, as the system shows them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.chaos.processes import pids_of, wait_until
from tests.integration.service import RunningStack, create_job, descendants, upload

SECONDS = 90.0


def waiting(pid: int) -> set[int]:
    """The descendants of a stack's process that Ray started for no job, and that nobody has taken yet."""
    return {found for found in descendants(pid) if _is_spare(Path(f"/proc/{found}"))}


def _is_spare(process: Path) -> bool:
    try:
        environment = (process / "environ").read_bytes().split(b"\0")
        return b"RAY_JOB_ID=ffffffff" in environment and b"ray::IDLE" in (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_jobs_classifier_is_the_process_that_waited_for_it_and_another_waits_after_it(stack: RunningStack) -> None:
    lines = "".join(json.dumps({"text": f"parcel {number} came late and broken"}) + "\n" for number in range(20_000))
    with stack.client() as client:
        job = create_job(client)
        upload(job, lines.encode())
        # Processes that died do not count, whoever ended them.
        before = wait_until(lambda: waiting(stack.process.pid), "a process waits", SECONDS)
        client.post(f"/v1/batch/{job['job_id']}/start")
        classifier = wait_until(lambda: pids_of(stack.process.pid, "classifier"), "a classifier works", SECONDS)
        client.post(f"/v1/batch/{job['job_id']}/cancel")
        after = wait_until(lambda: waiting(stack.process.pid) - before, "another process waits", SECONDS)

    assert set(classifier) <= before
    assert len(after) == 1
