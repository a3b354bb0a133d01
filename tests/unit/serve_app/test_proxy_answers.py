"""What Serve's HTTP proxy answers by itself reaches clients in the contract's shape."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import pytest
from ray.serve._private.constants import (
    SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER,
    SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER,
    SERVE_MULTIPLEXED_MODEL_ID,
    SERVE_SESSION_ID,
)
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


def asked(
    proxy: object, method: str, path: str, headers: Sequence[tuple[bytes, bytes]] | None = None
) -> httpx.Response:
    async def sent() -> httpx.Response:
        app = RequestIdMiddleware(proxy)  # type: ignore[arg-type]
        for middleware in proxy_middlewares():
            app = middleware.cls(app, *middleware.args, **middleware.kwargs)  # type: ignore[assignment]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path, headers=headers)

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


async def repeats_headers(scope: Scope, receive: Receive, send: Send) -> None:
    """Decodes every header, as the proxy does, and answers with them."""
    headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
    await JSONResponse(headers)(scope, receive, send)


def headers_that_reach_the_proxy(*headers: tuple[bytes, bytes]) -> list[tuple[str, str]]:
    answer = asked(repeats_headers, "GET", "/v1/batch", headers)
    assert answer.status_code == 200
    return [(name, value) for name, value in answer.json()]


@pytest.mark.parametrize("request_id", [b"mine-1", b"a b", b"x" * 200])
def test_a_clients_usable_request_id_is_kept(request_id: bytes) -> None:
    answer = asked(repeats_headers, "GET", "/v1/batch", [(b"X-Request-ID", request_id)])
    assert answer.headers.get_list("X-Request-ID") == [request_id.decode()]
    assert ["x-request-id", request_id.decode()] in answer.json()


@pytest.mark.parametrize("request_id", [b"", b"Zo\xeb", "Zoë".encode(), b"a\tb", b"x" * 201])
@pytest.mark.parametrize("path", ["/v1/batch", "/-/nothing"])
def test_a_request_id_that_is_unusable_is_replaced(request_id: bytes, path: str) -> None:
    answer = asked(repeats_headers, "GET", path, [(b"X-Request-ID", request_id)])
    assert answer.status_code == 200
    (given,) = answer.headers.get_list("X-Request-ID")
    assert given.isascii()
    assert 0 < len(given) <= 200
    assert given.encode() != request_id
    assert ["x-request-id", given] in answer.json()


def test_of_several_request_ids_the_first_is_the_requests() -> None:
    sent = [(b"X-Request-ID", b"one"), (b"X-Request-ID", b"Zo\xeb")]
    assert [value for name, value in headers_that_reach_the_proxy(*sent) if name == "x-request-id"] == ["one"]


@pytest.mark.parametrize(
    "name",
    [
        SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER,
        SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER,
        SERVE_MULTIPLEXED_MODEL_ID,
        SERVE_MULTIPLEXED_MODEL_ID.replace("_", "-"),
        SERVE_SESSION_ID,
        SERVE_SESSION_ID.replace("-", "_"),
    ],
)
@pytest.mark.parametrize("value", [b"0.01", b"\xff"])
def test_a_client_gives_the_proxy_no_orders(name: str, value: bytes) -> None:
    reached = headers_that_reach_the_proxy((name.title().encode(), value), (b"Authorization", b"Bearer x"))
    assert name not in dict(reached)
    assert ("authorization", "Bearer x") in reached


def test_an_exception_of_the_proxy_is_a_500_in_the_contracts_shape(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise UnicodeDecodeError("utf-8", b"secret", 0, 1, "invalid start byte")

    answer = asked(fails, "GET", "/v1/batch")
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")
    assert answer.headers["X-Request-ID"]
    assert "secret" not in answer.text
    assert "invalid start byte" in caplog.text


def test_an_exception_in_the_middle_of_an_answer_adds_nothing_to_it() -> None:
    async def fails(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        asked(fails, "GET", "/v1/batch")
