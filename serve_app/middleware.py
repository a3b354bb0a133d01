"""What happens to every request: an answer whatever goes wrong, and limits on their number and their size.

Serve's proxy gives every request its X-Request-ID, the client's where it sent a usable one, and repeats it in the
answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.exceptions import LabelworksError, Unavailable
from pipelines.job import JobRecord
from pipelines.logs import log_fields
from pipelines.settings import MIB
from serve_app.authentication import CALLS_PREFIX, Caller
from serve_app.errors import error_response
from serve_app.exceptions import BodyTooLarge, BodyTooSlow, RequestInvalid, TooManyRequests
from serve_app.strict_json import is_json, require_strict_json

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
REQUEST_ID_HEADER = "X-Request-ID"
# A client chooses its own, and it is kept with the job that the request starts.
MAX_REQUEST_ID_CHARACTERS = 200
_CALLER_RETRY_SECONDS = 1
# What nginx writes where the client went away before there was an answer.
_NO_ANSWER = 499


class RequestLogMiddleware:
    """One log line a request; every line that is written while it is answered carries its id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/health":
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


class CallerLimitMiddleware:
    """Answers 429 with Retry-After while ``limit`` calls of one account are received or answered: the others have room.

    The admin key counts as an account. Wants to know the Caller.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._in_flight: Counter[str | None] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get("state", {}).get("caller")
        if caller is None:
            await self._app(scope, receive, send)
            return
        if self._in_flight[caller.account] >= self._limit:
            error = TooManyRequests(
                f"The service is answering {self._limit} requests of this account already. Try again shortly.",
                limit=self._limit,
                retry_after=_CALLER_RETRY_SECONDS,
            )
            await error_response(error)(scope, receive, send)
            return
        self._in_flight[caller.account] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_flight[caller.account] -= 1
            if not self._in_flight[caller.account]:
                del self._in_flight[caller.account]


class LoadLimitMiddleware:
    """Answers 503 with Retry-After while ``limit`` requests are being answered. Health is always answered.

    Wants whole bodies: a request whose body is still to come takes no one's place.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/health":
            await self._app(scope, receive, send)
            return
        if self._in_flight >= self._limit:
            error = Unavailable(f"The service is answering {self._limit} requests already. Try again shortly.")
            await error_response(error)(scope, receive, send)
            return
        self._in_flight += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_flight -= 1


class BodyLimitMiddleware:
    """A body over ``MAX_BODY_BYTES`` is a 413, declared or not, and is not held; one that takes longer than
    ``seconds`` to arrive is a 408. Those that are on their way may hold ``arriving_bytes`` together; what comes on top
    is a 503.

    Only calls under /v1 have a body: that of any other request is not waited for.
    """

    def __init__(self, app: ASGIApp, seconds: float, arriving_bytes: int = 256 * MIB) -> None:
        self._app = app
        self._seconds = seconds
        self._arriving_bytes = arriving_bytes
        self._arrived = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._whole_body(scope, receive) if scope["path"].startswith(CALLS_PREFIX) else b""
        except LabelworksError as error:
            await error_response(error)(scope, receive, send)
            return
        if body is None:
            return
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _whole_body(self, scope: Scope, receive: Receive) -> bytes | None:
        """None where the client hangs up. Raises BodyTooLarge, BodyTooSlow or Unavailable."""
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal():
            _require_small(int(declared))
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                while (message := await receive())["type"] != "http.disconnect":
                    chunk = message.get("body", b"")
                    body += chunk
                    self._arrived += len(chunk)
                    _require_small(len(body))
                    if self._arrived > self._arriving_bytes:
                        raise Unavailable("The service is receiving too many request bodies. Try again shortly.")
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            raise BodyTooSlow(
                f"{len(body):,} bytes of the request body arrived in {self._seconds:g} seconds, and the whole of it"
                " must arrive within them. Texts to classify belong into the uploaded file.",
                limit_seconds=self._seconds,
            ) from None
        finally:
            self._arrived -= len(body)
        return None


class StrictJsonMiddleware:
    """A JSON body that readers could take differently is a 422, whatever route it is for. Wants whole bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_json(Headers(scope=scope).get("content-type", "")):
            await self._app(scope, receive, send)
            return
        message = await receive()
        body = message.get("body", b"")
        if body:
            try:
                require_strict_json(body)
            except RequestInvalid as error:
                await error_response(error)(scope, receive, send)
                return
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return message

        await self._app(scope, replay, send)


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


def _require_small(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise BodyTooLarge(
            f"The request body has {size:,} bytes or more; the limit is {MAX_BODY_BYTES:,} (1 MB). Texts to classify"
            " belong into the uploaded file.",
            limit=MAX_BODY_BYTES,
        )
