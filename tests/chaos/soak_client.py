"""One account's client in the soak: runs job after job, through whatever happens to the service."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.chaos.soak_jobs import SoakJob

JOB_SECONDS = 900.0
_CALL_SECONDS = 600.0
_POLL_SECONDS = 0.5
_STARTS_AT_MOST = 8


class Hung(Exception):
    """The service did not do it in the time that it has for it."""


@dataclass(slots=True)
class Ran:
    """A job that ended. ``failures`` holds the errors with which attempts failed; they were started again."""

    job_id: str
    results: bytes
    state: dict[str, Any]
    failures: list[str]
    cancels: int


class SoakClient:
    """Repeats every call until the service can answer it, as the contract asks of a client."""

    def __init__(self, url: Callable[[], str], api_key: str, source: random.Random) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._source = source

    def run(self, job: SoakJob) -> Ran:
        """Raises Hung for a job or a call that does not end."""
        made = self._call("POST", "/v1/batch", json=job.body, key=self._new_key()).json()
        job_id = made["job_id"]
        self._upload(made, job.data)
        cancel_at = self._source.uniform(0.1, 0.9) if self._source.random() < 0.15 else None
        failures: list[str] = []
        cancels = 0
        while True:
            self._call("POST", f"/v1/batch/{job_id}/start", key=self._new_key(), fine={202})
            state, cancelled = self._wait(job_id, cancel_at)
            cancels += cancelled
            if state["status"] == "completed":
                break
            if not cancelled:
                failures.append(state["error"])
            cancel_at = None
            if len(failures) >= _STARTS_AT_MOST:
                raise Hung(f"{job_id} keeps failing: {failures}")
        return Ran(job_id, self._download(job_id), state, failures, cancels)

    def delete(self, job_id: str) -> None:
        self._call("DELETE", f"/v1/batch/{job_id}", fine={200, 404})

    def _wait(self, job_id: str, cancel_at: float | None) -> tuple[dict[str, Any], bool]:
        deadline = time.monotonic() + JOB_SECONDS
        cancelled = False
        while time.monotonic() < deadline:
            state = self._call("GET", f"/v1/batch/{job_id}").json()
            if state["status"] in ("completed", "failed"):
                return state, cancelled and state["error"] == "cancelled"
            if cancel_at is not None and not cancelled and state["progress"] >= cancel_at:
                cancelled = True
                # 409: it has ended meanwhile, or an earlier try was carried out whose answer was lost.
                self._call("POST", f"/v1/batch/{job_id}/cancel", fine={202, 409})
            time.sleep(_POLL_SECONDS)
        raise Hung(f"{job_id} has not ended after {JOB_SECONDS:g} s: {state}")

    def _upload(self, made: dict[str, Any], data: bytes) -> None:
        def send() -> httpx.Response:
            return httpx.post(made["upload_url"], data=made["upload_fields"], files={"file": data}, timeout=60)

        _until_fine(send, {204})

    def _download(self, job_id: str) -> bytes:
        def fetch() -> httpx.Response:
            link = self._call("GET", f"/v1/batch/{job_id}/results").json()["download_url"]
            return httpx.get(link, timeout=60)

        return _until_fine(fetch, {200}).content

    def _call(
        self, method: str, path: str, *, json: Any = None, key: str | None = None, fine: set[int] | None = None
    ) -> httpx.Response:
        headers = self._headers | ({"Idempotency-Key": key} if key else {})

        def send() -> httpx.Response:
            return httpx.request(method, self._url() + path, json=json, headers=headers, timeout=60)

        return _until_fine(send, fine or {200, 201})

    def _new_key(self) -> str:
        return f"{self._source.randrange(2**64):016x}"


def _until_fine(send: Callable[[], httpx.Response], fine: set[int]) -> httpx.Response:
    """Repeat while the service is away (no connection, 5xx); any other refusal is an error of the service."""
    deadline = time.monotonic() + _CALL_SECONDS
    last = "nothing"
    while time.monotonic() < deadline:
        try:
            answer = send()
        except httpx.TransportError as error:
            last = repr(error)
        else:
            if answer.status_code in fine:
                return answer
            last = f"{answer.status_code} {answer.text[:300]}"
            if answer.status_code < 500:
                break
        time.sleep(_POLL_SECONDS)
    raise Hung(f"not one of {sorted(fine)} within {_CALL_SECONDS:g} s: {last}")
