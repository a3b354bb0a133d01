"""Limits on the number of requests that are answered at once, of one account and of all."""

from __future__ import annotations

from collections import Counter

from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.exceptions import Unavailable
from serve_app.authentication import Caller
from serve_app.errors import error_response
from serve_app.exceptions import TooManyRequests
from serve_app.request_log import HEALTH_PATH

_CALLER_RETRY_SECONDS = 1


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
        if scope["type"] != "http" or scope["path"] == HEALTH_PATH:
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
