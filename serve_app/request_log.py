"""What the log tells of every request, and what a client is told where something unexpected goes wrong.

Serve's proxy gives every request its X-Request-ID, the client's where it sent a usable one, and repeats it in the
answer.
"""

from __future__ import annotations

import logging
import time

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.job import JobRecord
from pipelines.logs import log_fields
from serve_app.errors import error_response

logger = logging.getLogger(__name__)

HEALTH_PATH = "/health"
"""Of the call that load balancers make all the time: it is always answered, and never logged."""
REQUEST_ID_HEADER = "X-Request-ID"
# A client chooses its own, and it is kept with the job that the request starts.
MAX_REQUEST_ID_CHARACTERS = 200
# What nginx writes where the client went away before there was an answer.
_NO_ANSWER = 499


class RequestLogMiddleware:
    """One log line a request; every line that is written while it is answered carries its id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == HEALTH_PATH:
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = _NO_ANSWER

        async def note_and_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with log_fields(request_id=Headers(scope=scope).get(REQUEST_ID_HEADER, "")[:MAX_REQUEST_ID_CHARACTERS]):
            try:
                await self._app(scope, receive, note_and_send)
            finally:
                about = {"method": scope["method"], "status": status, "ms": round((time.monotonic() - began) * 1000, 1)}
                # The path without its query, which may hold what is nobody's business.
                logger.info("%s", scope["path"], extra=about | _job_fields(scope))


class UnexpectedErrorMiddleware:
    """An exception that no handler took is logged with the request's id and answered with a 500 that tells nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = False

        async def note_and_send(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, receive, note_and_send)
        except Exception as error:
            request_id = Headers(scope=scope).get(REQUEST_ID_HEADER)
            logger.exception("request %s failed", request_id, extra=_job_fields(scope))
            if answered:
                raise
            await error_response(error)(scope, receive, send)


def note_job(request: Request, job: JobRecord) -> JobRecord:
    """The same job. The log lines of the request name it from here on, with its attempt."""
    request.state.job = job
    return job


def _job_fields(scope: Scope) -> dict[str, str | int]:
    """The job that the request is about, where its route has noted it or its path names it."""
    job: JobRecord | None = scope.get("state", {}).get("job")
    if job is not None:
        return {"job_id": job.job_id, "attempt": job.attempt}
    named = scope.get("path_params", {}).get("job_id")
    return {"job_id": named} if named else {}
