"""What happens to every request before it is read. (Its X-Request-ID comes from Serve's proxy.)"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.exceptions import BodyTooLarge
from serve_app.errors import error_response

MAX_BODY_BYTES = 1024 * 1024


class BodyLimitMiddleware:
    """A body over ``MAX_BODY_BYTES`` is a 413, declared or not, and is not held."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
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
