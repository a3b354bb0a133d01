"""The service as its users meet it: a `labelworks dev` process and HTTP."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.accounts import create_key
from serve_app.embedded.state import read_state

READY_SECONDS = 120.0
STOP_SECONDS = 60.0
STORAGE_RETRY_SECONDS = 30.0


@dataclass
class RunningStack:
    """A stack in a subprocess. ``kill`` ends its every process at once, as a power cut does."""

    process: subprocess.Popen[str]
    folder: Path
    url: str
    api_key: str
    metrics_url: str

    @classmethod
    def start(cls, folder: Path, *, program: Sequence[str] = ("labelworks", "dev"), **settings: str) -> RunningStack:
        """``program`` is a module, and its arguments, that prints what ``labelworks dev`` does."""
        with (folder / "dev.err").open("a") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", *program, "--data", str(folder)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | settings,
            )
        line = _first_line(process, READY_SECONDS)
        if not line.startswith("READY "):
            process.kill()
            raise AssertionError(f"the stack did not start: {line!r} {(folder / 'dev.err').read_text()[-2000:]}")
        ready = json.loads(line.removeprefix("READY "))
        return cls(process, folder, ready["url"], ready["api_key"], ready["metrics_url"])

    def client(self, api_key: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {api_key or self.api_key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def new_key(self, account: str) -> str:
        """A key as ``labelworks keys create`` makes it, without the seconds that a process of its own takes."""
        return create_key(bucket_of(self.folder), account)

    def processes(self) -> list[int]:
        """The stack's process and all its descendants."""
        return [self.process.pid, *descendants(self.process.pid)]

    def kill(self) -> None:
        for pid in self.processes():
            kill_if_alive(pid)
        self.process.wait(STOP_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """As a supervisor does, or with SIGINT as Ctrl-C does."""
        self.process.send_signal(number)
        self.process.wait(STOP_SECONDS)

    def __enter__(self) -> RunningStack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()


def bucket_of(folder: Path, *, retry_seconds: float = STORAGE_RETRY_SECONDS) -> ObjectStore:
    """The bucket of the stack that runs in ``folder``, reached without any proxy."""
    state = read_state(folder)
    settings = Settings(
        s3_endpoint=f"http://127.0.0.1:{state.s3_port}",
        s3_access_key=state.s3_access_key,
        s3_secret_key=state.s3_secret_key,
    )
    return ObjectStore(settings, retry_seconds=retry_seconds)


def doctor(stack: RunningStack, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`labelworks doctor --json` beside the stack; ``settings`` are environment variables, before the stack's own."""
    command = [sys.executable, "-m", "labelworks", "doctor", "--data", str(stack.folder), "--json", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=os.environ | settings)


def kill_if_alive(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def descendants(pid: int) -> list[int]:
    """All living processes that descend from ``pid``."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = []
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found


def create_job(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/batch", json={"labels": ["good", "bad"], **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def upload(job: Mapping[str, Any], data: bytes) -> httpx.Response:
    return httpx.post(job["upload_url"], data=job["upload_fields"], files={"file": data}, timeout=120)


def create_uploaded(client: httpx.Client, data: bytes, **body: Any) -> str:
    """The id of a new job with its file in place."""
    job = create_job(client, **body)
    assert upload(job, data).status_code == 204
    job_id: str = job["job_id"]
    return job_id


def start(client: httpx.Client, job_id: str) -> None:
    answer = client.post(f"/v1/batch/{job_id}/start")
    assert answer.status_code == 202, answer.text


def wait_for(
    client: httpx.Client,
    job_id: str,
    reached: Callable[[dict[str, Any]], bool],
    *,
    seconds: float = 180,
    seen: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Poll until the job's state satisfies ``reached``; every state goes to ``seen``."""
    deadline = time.monotonic() + seconds
    while True:
        state: dict[str, Any] = client.get(f"/v1/batch/{job_id}").json()
        if seen is not None:
            seen.append(state)
        if reached(state):
            return state
        assert not has_ended(state), f"ended before: {state}"
        assert time.monotonic() < deadline, f"not reached within {seconds} s: {state}"
        time.sleep(0.2)


def has_ended(state: Mapping[str, Any]) -> bool:
    return state["status"] in ("completed", "failed")


def run_to_end(client: httpx.Client, data: bytes, **body: Any) -> tuple[dict[str, Any], bytes]:
    """Create, upload, start, wait, download: the final state and the result file (empty unless completed)."""
    job_id = create_uploaded(client, data, **body)
    start(client, job_id)
    state = wait_for(client, job_id, has_ended)
    return state, download(client, job_id) if state["status"] == "completed" else b""


def download(client: httpx.Client, job_id: str) -> bytes:
    answer = client.get(f"/v1/batch/{job_id}/results")
    assert answer.status_code == 200, answer.text
    return httpx.get(answer.json()["download_url"], timeout=120).raise_for_status().content


def ndjson(texts: Sequence[str]) -> bytes:
    return b"".join(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n" for text in texts)


def _first_line(process: subprocess.Popen[str], seconds: float) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    return process.stdout.readline() if ready else ""
