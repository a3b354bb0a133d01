"""What Serve's HTTP proxy answers by itself reaches clients in the contract's shape."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from ray.serve._private.http_util import RequestIdMiddleware, convert_object_to_asgi_messages
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from serve_app.proxy_answers import proxy_middlewares

PROXYS_WORDS = "Path '/v1/batch' not found. Ping http://.../-/routes for available routes."


def answer_of(status: int | None, *, method: str = "GET", path: str = "/v1/batch") -> httpx.Response:
    """The answer where the proxy sends its own one of ``status``, or none at all."""

    async def proxy(_scope: Scope, _receive: Receive, send: Send) -> None:
        if status is not None:
            for message in convert_object_to_asgi_messages(PROXYS_WORDS, status_code=status):
                await send(message)

    return asked(proxy, method, path)


def asked(proxy: object, method: str, path: str) -> httpx.Response:
    async def sent() -> httpx.Response:
        app = RequestIdMiddleware(proxy)  # type: ignore[arg-type]
        for middleware in proxy_middlewares():
            app = middleware.cls(app, *middleware.args, **middleware.kwargs)  # type: ignore[assignment]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path)

    return asyncio.run(sent())


@pytest.mark.parametrize("status", [404, 503])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_proxy_without_an_application_says_that_the_service_is_starting(status: int, method: str) -> None:
    answer = answer_of(status, method=method)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["code"] == "UNAVAILABLE"
    assert "starting" in answer.json()["message"]
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize(("method", "status", "code"), [("GET", 503, "UNAVAILABLE"), ("POST", 500, "INTERNAL_ERROR")])
def test_a_replica_that_dies_under_a_call_is_told_in_the_contracts_shape(method: str, status: int, code: str) -> None:
    answer = answer_of(None, method=method)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["X-Request-ID"]


def test_the_applications_own_404_passes() -> None:
    app = JSONResponse({"code": "NOT_FOUND", "message": "There is no job batch_none."}, status_code=404)
    answer = asked(app, "GET", "/v1/batch/batch_none")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_serves_own_pages_are_left_alone() -> None:
    assert answer_of(503, path="/-/healthz").text == PROXYS_WORDS
