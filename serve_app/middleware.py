"""What happens to every request: a request id, an answer whatever goes wrong, and a limit on the body's size."""

from __future__ import annotations

import logging
import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.exceptions import BodyTooLarge
from serve_app.errors import error_response

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
REQUEST_ID_HEADER = "X-Request-ID"
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")


class RequestIdMiddleware:
    """Every answer carries the client's request id where it sent a fit one, else a new one.

    An exception that no handler took is logged with that id and answered here: outside of this, the answer would lack
    the id by which it can be found in the log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = sent if _ACCEPTED_ID.fullmatch(sent) else f"req_{secrets.token_hex(12)}"

        answered = False

        async def send_with_id(message: Message) -> None:
            nonlocal answered
            answered = True
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            if answered:
                raise
            logger.exception("request %s failed", request_id)
            await error_response(error)(scope, receive, send_with_id)


class BodyLimitMiddleware:
    """A body over ``MAX_BODY_BYTES`` is a 413, declared or not, and is not held."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
            await _refuse(int(declared), scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES:
                await _refuse(len(body), scope, receive, send)
                return
            if not message.get("more_body"):
                break
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, replay, send)


async def _refuse(size: int, scope: Scope, receive: Receive, send: Send) -> None:
    error = BodyTooLarge(
        f"The request body has {size:,} bytes or more; the limit is {MAX_BODY_BYTES:,} (1 MB). Texts to classify"
        " belong into the uploaded file.",
        limit=MAX_BODY_BYTES,
    )
    await error_response(error)(scope, receive, send)
