"""Request bodies: how large they may be, how long they may take to arrive, and that every reader takes them alike."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.exceptions import LabelworksError, Unavailable
from pipelines.settings import MIB
from serve_app.authentication import CALLS_PREFIX
from serve_app.errors import error_response
from serve_app.exceptions import BodyTooLarge, BodyTooSlow, RequestInvalid
from serve_app.strict_json import is_json, require_strict_json, require_uncompressed

MAX_BODY_BYTES = 1024 * 1024


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
        await self._app(scope, _replaying({"type": "http.request", "body": body, "more_body": False}, receive), send)

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
    """A JSON body that is compressed, or that readers could take differently, is a 422, whatever route it is for.

    Wants whole bodies.
    """

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
                require_uncompressed(Headers(scope=scope).get("content-encoding", ""))
                require_strict_json(body)
            except RequestInvalid as error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, _replaying(message, receive), send)


def _replaying(message: Message, receive: Receive) -> Receive:
    """Gives ``message``, which was received before, and then what comes after it."""
    replayed = False

    async def replay() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return message

    return replay


def _require_small(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise BodyTooLarge(
            f"The request body has {size:,} bytes or more; the limit is {MAX_BODY_BYTES:,} (1 MB). Texts to classify"
            " belong into the uploaded file.",
            limit=MAX_BODY_BYTES,
        )
