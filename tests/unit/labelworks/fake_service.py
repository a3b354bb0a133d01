"""A small service of the contract on a real socket, which misbehaves when it is told to."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.unit.labelworks.fake_account import FakeAccount

API_KEY = "lw_test"
CREATED_AT = "2026-11-23T20:57:29.716180Z"
UNCERTAIN = b'{"code":"UNAVAILABLE","message":"Try again.","details":{"uncertain":true}}'
LOST: list[dict[str, Any]] = [{"lose_answer": True}, {"lose_answer": True, "status": 503, "body": UNCERTAIN}]
"""How a call that was carried out may seem not to have been, for ``misbehave``."""


@dataclass
class Misbehaviour:
    """What happens to a request whose method and path contain ``when``, instead of or after its proper answer.

    ``lose_answer``: it is carried out, and its answer is not sent; with ``status`` that is sent in its place.
    """

    when: str
    status: int | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    lose_answer: bool = False
    cut_after: int | None = None


@dataclass
class Job:
    job_id: str
    task: dict[str, Any]
    status: str = "pending"
    upload: bytes = b""
    error: str | None = None
    results: bytes = b""
    etag: str = '"0a1b-2"'


@dataclass
class Seen:
    method: str
    path: str
    headers: Message
    body: bytes


class FakeService:
    """Jobs complete at their second poll: each item gets the first label, and its words as tokens."""

    def __init__(self) -> None:
        self.url = ""
        self.jobs: dict[str, Job] = {}
        self.parts: dict[str, Job] = {}
        self.seen: list[Seen] = []
        self.misbehaviours: deque[Misbehaviour] = deque()
        self.honours_ranges = True
        self.honours_if_range = True
        self.end = "completed"
        self.upload_began = threading.Event()
        self.storage_answers = threading.Event()
        self.storage_answers.set()
        self.account = FakeAccount()
        self._keys: dict[str, str] = {}
        self._signature = 0

    def misbehave(self, when: str, **how: Any) -> None:
        """The next matching request goes wrong; one call for each."""
        self.misbehaviours.append(Misbehaviour(when, **how))

    def requests_to(self, part: str) -> list[Seen]:
        return [seen for seen in self.seen if part in f"{seen.method} {seen.path}"]

    def add_completed(self, results: bytes) -> Job:
        job = Job(f"batch_{len(self.jobs):016}", {"labels": ["a"]}, status="completed", results=results)
        self.jobs[job.job_id] = job
        return job

    def expire_addresses(self) -> None:
        """The storage refuses the addresses of parts that were given until now."""
        self._signature += 1

    def answer(self, request: Seen) -> tuple[int, dict[str, str], bytes]:
        if request.path.startswith("/storage/"):
            return self._storage(request)
        if request.headers["Authorization"] != f"Bearer {API_KEY}":
            return _error(401, "UNAUTHORIZED", "The API key is missing, unknown or revoked")
        about_account = self.account.answer(
            request.method, request.path, request.body, request.headers["Idempotency-Key"]
        )
        if about_account is not None:
            return _json(*about_account)
        parts = request.path.strip("/").split("/")
        if request.method == "POST" and len(parts) == 2:
            return self._create(request)
        if len(parts) == 2:
            return _json(200, [_state(job) for job in [*reversed(self.jobs.values())][:20]])
        job = self.jobs.get(parts[2])
        if job is None:
            return _error(404, "NOT_FOUND", f"There is no job {parts[2]}.")
        return self._job_call(request, job, parts[3:])

    def _job_call(self, request: Seen, job: Job, rest: list[str]) -> tuple[int, dict[str, str], bytes]:
        if request.method == "DELETE":
            del self.jobs[job.job_id]
            return _json(200, {"job_id": job.job_id, "deleted": True})
        if rest == ["start"]:
            if job.status not in ("pending", "failed") and request.headers["Idempotency-Key"] not in self._keys:
                return _error(409, "CONFLICT", f"Job {job.job_id} is {job.status} and cannot start.")
            self._keys[request.headers["Idempotency-Key"]] = job.job_id
            job.status = "processing"
            return _json(202, {"job_id": job.job_id, "status": "processing"})
        if rest == ["cancel"]:
            if job.status != "processing":
                return _error(409, "CONFLICT", f"Job {job.job_id} is {job.status} and cannot be cancelled.")
            job.status, job.error = "failed", "cancelled"
            return _json(202, {"job_id": job.job_id})
        if rest == ["results?partial=true"]:
            return _json(200, {"job_id": job.job_id, "status": job.status, "parts": self._parts(job)})
        if rest == ["results"]:
            if job.status != "completed":
                return _error(409, "CONFLICT", f"Job {job.job_id} is {job.status}")
            return _json(200, {"job_id": job.job_id, "download_url": f"{self.url}/storage/{job.job_id}?signature=x"})
        state = _state(job)
        if job.status == "processing":
            self.finish(job)
        return _json(200, state)

    def _parts(self, job: Job) -> list[dict[str, Any]]:
        """The job's lines, two a part; the second part is not finished."""
        lines = job.results.splitlines(keepends=True)
        parts = []
        for first in range(0, len(lines), 2):
            part = Job(f"{job.job_id}-{first}", job.task, results=b"".join(lines[first : first + 2]))
            self.parts[part.job_id] = part
            url = f"{self.url}/storage/{part.job_id}?signature={self._signature}"
            parts.append({"first_item": first, "items": len(lines[first : first + 2]), "download_url": url})
        return parts[:1] + parts[2:]

    def _create(self, request: Seen) -> tuple[int, dict[str, str], bytes]:
        task = json.loads(request.body)
        if len(set(task.get("labels", ()))) < len(task.get("labels", ())):
            return _error(422, "VALIDATION_ERROR", "Labels must be unique", {"field": "labels"})
        key = request.headers["Idempotency-Key"]
        job_id = self._keys.setdefault(key, f"batch_{len(self.jobs):016}")
        self.jobs.setdefault(job_id, Job(job_id, task))
        created = {
            "job_id": job_id,
            "upload_url": f"{self.url}/storage/upload",
            "upload_fields": {"key": job_id, "policy": "p=="},
            "input_key": f"batch/test/{job_id}/input.ndjson",
        }
        return _json(201, created)

    def finish(self, job: Job) -> None:
        """The job ends as ``end`` says, with its results."""
        job.status = self.end
        if self.end == "failed":
            job.error = "The input is not NDJSON"
        label = job.task.get("labels", ["a"])[0]
        lines = []
        for line in job.upload.split(b"\n"):
            if not line.strip():
                continue
            try:
                item = json.loads(line)
                text = item.get("text")
            except (ValueError, AttributeError):
                item, text = {}, None
            ids = {name: item[name] for name in ("id", "custom_id") if name in item}
            if isinstance(text, str):
                scored = {"label": label, "confidence": 0.9}
                answer = {"labels": [scored]} if job.task.get("mode") == "multi" else scored
                lines.append({**ids, **answer, "tokens": len(text.split())})
            else:
                lines.append({**ids, "error": {"code": "invalid_text", "message": "no text"}})
        job.results = b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    def _storage(self, request: Seen) -> tuple[int, dict[str, str], bytes]:
        if request.method == "POST":
            self.upload_began.set()
            self.storage_answers.wait()
            fields = form_fields(request)
            if fields[-1][0] != "file" or fields[:-1] != [("key", fields[0][1]), ("policy", b"p==")]:
                return _xml(403, "AccessDenied", "The form is not the one that was asked for")
            self.jobs[fields[0][1].decode()].upload = fields[-1][1]
            return 204, {}, b""
        name, _, signature = request.path.removeprefix("/storage/").partition("?signature=")
        if signature not in ("x", str(self._signature)):
            return _xml(403, "AccessDenied", "Request has expired")
        job = (self.jobs | self.parts)[name]
        headers = {"ETag": job.etag, "Accept-Ranges": "bytes"}
        wanted = request.headers["Range"]
        stale = self.honours_if_range and request.headers["If-Range"] not in (None, job.etag)
        if wanted is None or not self.honours_ranges or stale:
            return 200, headers, job.results
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(job.results):
            return _xml(416, "InvalidRange", "The requested range is not satisfiable")
        whole = len(job.results)
        headers["Content-Range"] = f"bytes {start}-{whole - 1}/{whole}"
        return 206, headers, job.results[start:]


def form_fields(request: Seen) -> list[tuple[str, bytes]]:
    """The fields of a multipart form, in their order."""
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    parts = BytesParser(policy=HTTP).parsebytes(head + request.body).iter_parts()  # type: ignore[attr-defined]
    return [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True).removesuffix(b"\r\n"))
        for part in parts
    ]


@contextmanager
def running_service() -> Iterator[FakeService]:
    service = FakeService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def _handle(self) -> None:
            seen = Seen(
                self.command, self.path, self.headers, self.rfile.read(int(self.headers["Content-Length"] or 0))
            )
            service.seen.append(seen)
            wrong = next((way for way in service.misbehaviours if way.when in f"{seen.method} {seen.path}"), None)
            if wrong is not None:
                service.misbehaviours.remove(wrong)
            if wrong is not None and wrong.status is not None:
                if wrong.lose_answer:
                    service.answer(seen)
                status, headers, body = _error(wrong.status, "TOLD_TO", "As told")
                self._send(status, headers, body if wrong.body is None else wrong.body, extra=wrong.headers)
                return
            answer = service.answer(seen)
            if wrong is not None and wrong.lose_answer:
                self._cut()
            else:
                self._send(*answer, cut_after=wrong.cut_after if wrong else None)

        def _send(
            self,
            status: int,
            headers: dict[str, str],
            body: bytes,
            *,
            extra: dict[str, str] | None = None,
            cut_after: int | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in {**headers, **(extra or {}), "X-Request-ID": f"req-{len(service.seen)}"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:cut_after])
            if cut_after is not None:
                self._cut()

        def _cut(self) -> None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

        do_GET = do_POST = do_DELETE = _handle  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _state(job: Job) -> dict[str, Any]:
    total = job.results.count(b"\n")
    failed = job.results.count(b'"error"')
    return {
        "job_id": job.job_id,
        "status": job.status,
        "requests_total": total,
        "requests_completed": total - failed,
        "requests_failed": failed,
        "estimated_tokens": None,
        "actual_tokens": 7 if job.status == "completed" else None,
        "created_at": CREATED_AT,
        "started_at": None,
        "completed_at": None,
        "error": job.error,
        "a_field_of_a_later_version": 1,
    }


def _json(status: int, body: Any) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def _error(
    status: int, code: str, message: str, details: dict[str, Any] | None = None
) -> tuple[int, dict[str, str], bytes]:
    return _json(
        status, {"error": code.lower(), "code": code, "message": message, "details": details or {}, "detail": message}
    )


def _xml(status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
    return status, {}, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
