"""What Serve's own HTTP proxy answers where no replica does, in the contract's shape, and which headers reach it.

The proxy starts before the application and lives beside it: until the application is deployed it answers every path
with a 404 in plain text, which a client takes for "there is no such job"; when a replica dies under a request it sends
nothing at all. Some headers it takes for orders of an operator, and one that it cannot decode ends the request without
an answer. It finds this module by the environment variable ``PROXY_CALLBACK_VARIABLE``, which must be set where its
node's Ray is started.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.exceptions import LabelworksError, Unavailable
from serve_app.errors import error_response
from serve_app.request_log import MAX_REQUEST_ID_CHARACTERS, REQUEST_ID_HEADER

logger = logging.getLogger(__name__)

PROXY_CALLBACK_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
PROXY_CALLBACK = f"{__name__}.proxy_middlewares"
# Of Serve itself: load balancers ask there whether the proxy is healthy.
_SERVE_PREFIX = "/-/"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Serve takes some of them with underscores too.
_ORDERS_TO_SERVE = frozenset(
    {
        b"serve-multiplexed-model-id",
        b"x-request-disconnect-disabled",
        b"x-request-timeout-seconds",
        b"x-session-id",
    }
)
_REQUEST_ID = REQUEST_ID_HEADER.lower().encode()
_USABLE_ID = re.compile(rb"[ -~]{1,%d}" % MAX_REQUEST_ID_CHARACTERS)


def proxy_middlewares() -> list[Middleware]:
    """What Serve wraps its HTTP proxy in."""
    return [Middleware(ProxyAnswers)]


def configure_proxy() -> None:
    """For every Ray that this process starts from now on."""
    os.environ[PROXY_CALLBACK_VARIABLE] = PROXY_CALLBACK
    # Serve kills a proxy that is not up within 5 seconds, which on a busy machine it never is.
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")


class ProxyAnswers:
    """Replaces the proxy's own errors, which are in plain text, by 503 with ``Retry-After``, and its exceptions by 500.

    The application answers in JSON, also its 404, and passes. A call that a dying replica may have carried out is
    a 500, unless it is one that changes nothing. A client's X-Request-ID is kept where it is 1 to 200 characters of
    printable ASCII; else the request gets one as if it had none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope["headers"] = _harmless(scope["headers"])
        if scope["type"] != "http" or scope["path"].startswith(_SERVE_PREFIX):
            await self._app(scope, receive, send)
            return
        replaced: Message | None = None
        started = False

        async def send_or_replace(message: Message) -> None:
            nonlocal replaced, started
            if message["type"] == "http.response.start":
                started = True
                if _is_proxys_own_error(message):
                    replaced = message
                    return
            if replaced is None:
                await send(message)

        failed = False
        try:
            await self._app(scope, receive, send_or_replace)
        except Exception:
            logger.exception("the proxy failed on a request")
            if started and replaced is None:
                raise
            failed = True
        if failed:
            error = LabelworksError()
        elif replaced is not None:
            error = _not_ready()
        elif not started:
            error = _lost(scope["method"])
        else:
            return
        response = error_response(error)
        # The middleware that gives a request its id, and whose answer was not sent, is inside this one.
        response.headers[REQUEST_ID_HEADER] = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        await response(scope, receive, send)


def _harmless(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Without what Serve's proxy would take for an order, and with one usable X-Request-ID at most."""
    ids = [value for name, value in headers if name == _REQUEST_ID]
    kept = [
        (name, value)
        for name, value in headers
        if name != _REQUEST_ID and name.replace(b"_", b"-") not in _ORDERS_TO_SERVE
    ]
    return kept + [(_REQUEST_ID, value) for value in ids[:1] if _USABLE_ID.fullmatch(value)]


def _is_proxys_own_error(message: Message) -> bool:
    status = message["status"]
    kind = Headers(raw=[(bytes(name), bytes(value)) for name, value in message["headers"]]).get("content-type", "")
    failed = status == HTTPStatus.NOT_FOUND or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return failed and kind.startswith("text/plain")


def _not_ready() -> LabelworksError:
    return Unavailable("The service is starting and cannot take calls yet. Try again shortly.")


def _lost(method: str) -> LabelworksError:
    if method in _SAFE_METHODS:
        return Unavailable("The service was interrupted while it answered. Try again shortly.")
    return LabelworksError()
