"""Whose call it is, and whether its key may make one more now."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from math import ceil

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.exceptions import LabelworksError
from serve_app.errors import error_response
from serve_app.exceptions import TooManyRequests, Unauthorized
from serve_app.key_directory import KeyDirectory
from serve_app.rate_limit import Allowance, RequestLimit

CALLS_PREFIX = "/v1/"
"""Of the calls that need a key."""
_ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """The key that a request came with, and its account; the operator's admin key has none."""

    key_id: str
    account: str | None


class Authenticator:
    """Tells callers by their secrets."""

    def __init__(self, keys: KeyDirectory, admin_key: SecretStr | None) -> None:
        self._keys = keys
        self._admin_digest = _digest(admin_key.get_secret_value()) if admin_key else None

    async def caller(self, authorization: str) -> Caller:
        """``authorization`` is the header's value. Raises as KeyDirectory does."""
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise Unauthorized
        # Compared in constant time: how long it takes must not tell how much of a guess is right.
        if self._admin_digest and hmac.compare_digest(_digest(secret), self._admin_digest):
            return Caller(_ADMIN, None)
        key = await self._keys.find(secret)
        return Caller(key.id, key.account)


class AuthenticationMiddleware:
    """Refuses a call under /v1 that has no good key, before anything else of it is looked at; counts the others.

    Routes find the Caller in ``request.state.caller``. Every answer to a known key tells what is left of its limit.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator, limit: RequestLimit | None) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(CALLS_PREFIX):
            await self._app(scope, receive, send)
            return
        try:
            authorization = Headers(scope=scope).get("authorization", "")
            caller = await self._authenticator.caller(authorization)
        except LabelworksError as error:
            await error_response(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        if self._limit is None:
            await self._app(scope, receive, send)
            return
        allowance = self._limit.take(caller.key_id, time.monotonic())

        async def send_with_limit(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_headers(allowance))
            await send(message)

        if allowance.allowed:
            await self._app(scope, receive, send_with_limit)
        else:
            await error_response(_refusal(allowance))(scope, receive, send_with_limit)


def _headers(allowance: Allowance) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(allowance.limit),
        "X-RateLimit-Remaining": str(allowance.remaining),
        "X-RateLimit-Reset": str(ceil(allowance.reset_seconds)),
    }


def _refusal(allowance: Allowance) -> TooManyRequests:
    wait = max(ceil(allowance.retry_seconds), 1)
    return TooManyRequests(
        f"This API key may make {allowance.limit:,} requests a minute. Try again in {wait} s.",
        limit=allowance.limit,
        retry_after=wait,
    )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
