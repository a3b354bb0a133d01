"""A job that is interrupted, and what must be true of it at its end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from serve_app.accounts import create_key
from tests.chaos.bucket import most_items_of_a_range, shards_of
from tests.chaos.journal import Journal
from tests.chaos.processes import pids_of, wait_until
from tests.integration.service import RunningStack, bucket_of, create_uploaded, download, has_ended, ndjson, start
from tests.integration.texts import varied_texts

GOOD_LINES = 2400
BAD_LINES = 6
# By one classifier: the one that it classifies or writes.
RANGES_LOST_AT_MOST = 1
END_SECONDS = 420.0
# While something restarts, these and broken connections are the answers a client has to expect.
TEMPORARY = {500, 502, 503, 504}


def job_data(padding: int = 0) -> bytes:
    """Real lines with ``BAD_LINES`` that cannot be classified among them.

    ``padding`` bytes of another field in every line make the file larger and leave its results as they are.
    """
    lines = ndjson(varied_texts(GOOD_LINES, seed=11)).splitlines(keepends=True)
    for number in range(BAD_LINES):
        lines.insert(number * len(lines) // BAD_LINES, b"this is no JSON\n")
    if padding:
        field = b', "padding": "' + b"x" * padding + b'"}\n'
        lines = [line.replace(b"}\n", field) for line in lines]
    return b"".join(lines)


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """The end of a job on the same data that nothing was done to."""

    results: bytes
    tokens: int


class DisturbedJob:
    """A processing job of an account of its own."""

    def __init__(self, stack: RunningStack, account: str, data: bytes) -> None:
        self.stack = stack
        self.bucket: ObjectStore = bucket_of(stack.folder)
        self.api_key = create_key(self.bucket, account)
        with self.client() as client:
            self.job_id = create_uploaded(client, data)
            self.paths = JobPaths(account, self.job_id)
            start(client, self.job_id)

    def client(self) -> httpx.Client:
        return self.stack.client(self.api_key)

    def state(self) -> dict[str, Any] | None:
        """What the API says; None while it cannot."""
        try:
            with self.client() as client:
                answer = client.get(f"/v1/batch/{self.job_id}")
        except httpx.TransportError:
            return None
        assert answer.status_code in {200} | TEMPORARY, f"{answer.status_code}: {answer.text}"
        state: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return state

    def wait(
        self, reached: Callable[[dict[str, Any]], bool], what: str, seconds: float = END_SECONDS
    ) -> dict[str, Any]:
        """Poll, through whatever happens to the API, until the job's state satisfies ``reached``."""
        last: dict[str, Any] | None = None

        def probe() -> dict[str, Any] | None:
            nonlocal last
            last = self.state() or last
            return last if last and reached(last) else None

        try:
            return wait_until(probe, what, END_SECONDS) or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; last seen: {last}") from error

    def wait_for_shards(self, count: int) -> dict[str, datetime]:
        """Wait until so many shards are in the bucket; when each was written."""

        def probe() -> dict[str, datetime] | None:
            found = shards_of(self.bucket, self.paths)
            return found if len(found) >= count else None

        found = wait_until(probe, f"{count} shards are written", END_SECONDS)
        assert found
        state = self.state()
        assert state
        assert state["status"] == "processing", f"the job was over before the fault: {state}"
        return found

    def end(self) -> dict[str, Any]:
        return self.wait(has_ended, "the job ends")

    def has_ended(self) -> bool:
        state = self.state()
        return state is not None and has_ended(state)

    def results(self) -> bytes:
        with self.client() as client:
            return download(client, self.job_id)

    def require_whole(self, undisturbed: Undisturbed, kept: dict[str, datetime]) -> None:
        """Completed, with the same bytes and exact counters, without touching the shards ``kept``."""
        state = self.end()
        assert state["status"] == "completed", state
        assert self.results() == undisturbed.results
        lines = [json.loads(line) for line in undisturbed.results.splitlines()]
        failed = sum("error" in line for line in lines)
        assert (state["requests_total"], state["requests_completed"], state["requests_failed"]) == (
            len(lines),
            len(lines) - failed,
            failed,
        )
        assert state["actual_tokens"] == undisturbed.tokens == sum(line.get("tokens", 0) for line in lines)
        now = shards_of(self.bucket, self.paths)
        assert {key: now.get(key) for key in kept} == kept, "shards were written again"

    def require_no_actor_left(self) -> None:
        for kind in ("classifier", "driver"):
            wait_until(lambda kind=kind: not pids_of(self.stack.process.pid, kind), f"every {kind} is gone", 30)  # type: ignore[misc]

    def require_little_rework(self, journal: Journal, before: int, good_lines: int, *, deaths: int = 1) -> int:
        """How many texts were classified again; never more than what was in flight."""
        rework = journal.texts() - before - good_lines
        bound = deaths * RANGES_LOST_AT_MOST * most_items_of_a_range(self.bucket, self.paths)
        assert 0 <= rework <= bound, f"{rework} texts were classified again, {bound} at most could have been in flight"
        return rework


def run_undisturbed(stack: RunningStack, account: str, data: bytes) -> Undisturbed:
    job = DisturbedJob(stack, account, data)
    state = job.end()
    assert state["status"] == "completed", state
    return Undisturbed(job.results(), state["actual_tokens"])


def seconds_until(probe: Callable[[], object], what: str, since: float, seconds: float = 240.0) -> float:
    """How long after ``since`` (of ``time.monotonic``) it became true."""
    wait_until(probe, what, seconds)
    return time.monotonic() - since
