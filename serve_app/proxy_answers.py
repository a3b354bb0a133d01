"""What Serve's own HTTP proxy answers where no replica does, in the contract's shape.

The proxy starts before the application and lives beside it: until the application is deployed it answers every path
with a 404 in plain text, which a client takes for "there is no such job"; when a replica dies under a request it sends
nothing at all. It finds this module by the environment variable ``PROXY_CALLBACK_VARIABLE``, which must be set where
its node's Ray is started.
"""

from __future__ import annotations

import os
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.exceptions import LabelworksError, Unavailable
from serve_app.errors import error_response
from serve_app.middleware import REQUEST_ID_HEADER

PROXY_CALLBACK_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
PROXY_CALLBACK = f"{__name__}.proxy_middlewares"
# Of Serve itself: load balancers ask there whether the proxy is healthy.
_SERVE_PREFIX = "/-/"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def proxy_middlewares() -> list[Middleware]:
    """What Serve wraps its HTTP proxy in."""
    return [Middleware(ProxyAnswers)]


def configure_proxy() -> None:
    """For every Ray that this process starts from now on."""
    os.environ[PROXY_CALLBACK_VARIABLE] = PROXY_CALLBACK
    # Serve kills a proxy that is not up within 5 seconds, which on a busy machine it never is.
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")


class ProxyAnswers:
    """Replaces the proxy's own errors, which are in plain text, by 503 with ``Retry-After``.

    The application answers in JSON, also its 404, and passes. A call that a dying replica may have carried out is
    a 500, unless it is one that changes nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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

        await self._app(scope, receive, send_or_replace)
        if replaced is not None or not started:
            response = error_response(_lost(scope["method"]) if replaced is None else _not_ready())
            # The middleware that gives a request its id, and whose answer was not sent, is inside this one.
            response.headers[REQUEST_ID_HEADER] = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
            await response(scope, receive, send)


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
