"""Errors, request ids and the body limit over ASGI, with routes that need no cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from ray.serve._private.http_util import RequestIdMiddleware
from starlette.types import Message

from pipelines.exceptions import (
    BadRequest,
    Conflict,
    DriverSuperseded,
    IllegalTransition,
    InputChanged,
    InputRejected,
    LabelworksError,
    ObjectMissing,
    StorageUnavailable,
    Unavailable,
)
from serve_app.bodies import MAX_BODY_BYTES, BodyLimitMiddleware, StrictJsonMiddleware
from serve_app.errors import install_error_handlers
from serve_app.exceptions import (
    AccountBusy,
    InputMissing,
    JobNotFound,
    KeyNotFound,
    KeyUncertain,
    LastKey,
    ModelUnusable,
    RecordUnreadable,
    RequestInvalid,
    TooManyKeys,
    TooManyRequests,
    Unauthorized,
)
from serve_app.request_log import UnexpectedErrorMiddleware
from serve_app.schemas import CreateBatch

JSON: dict[str, str | bytes] = {"Content-Type": "application/json"}


def app_that_raises(error: Exception | None = None, body_seconds: float = 30.0) -> FastAPI:
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(StrictJsonMiddleware)
    app.add_middleware(BodyLimitMiddleware, seconds=body_seconds)
    app.add_middleware(UnexpectedErrorMiddleware)

    @app.post("/v1/batch", status_code=201)
    async def create(request: CreateBatch) -> dict[str, list[str]]:
        return {"labels": list(request.config(("minilm",)).labels)}

    @app.get("/fail")
    async def fail() -> None:
        if error:
            raise error

    return app


def call(
    method: str,
    path: str,
    *,
    error: Exception | None = None,
    content: bytes | AsyncIterator[bytes] | None = None,
    headers: dict[str, str | bytes] | None = None,
    body_seconds: float = 30.0,
) -> httpx.Response:
    async def sent() -> httpx.Response:
        # Serve wraps its ingress in this, and it is what gives a request its id.
        app = RequestIdMiddleware(app_that_raises(error, body_seconds))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, content=content, headers=raw)

    raw = [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in (JSON | (headers or {})).items()
    ]
    return asyncio.run(sent())


def post(body: Any) -> httpx.Response:
    return call("POST", "/v1/batch", content=body if isinstance(body, bytes) else json.dumps(body).encode())


def envelope(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error's body, once everything that is the same for all errors has been checked."""
    assert answer.status_code == status
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert list(body) == ["error", "code", "message", "details", "detail"]
    assert body["code"] == code
    assert body["error"] == code.lower().replace("_", "-")
    assert body["detail"] == body["message"] != ""
    assert isinstance(body["details"], dict)
    return body


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadRequest(), 400, "BAD_REQUEST"),
        (InputRejected("a CSV", size=3), 400, "INVALID_INPUT"),
        (InputMissing(), 400, "INPUT_MISSING"),
        (Unauthorized(), 401, "UNAUTHORIZED"),
        (JobNotFound(), 404, "NOT_FOUND"),
        (Conflict(), 409, "CONFLICT"),
        (IllegalTransition("x", status="completed"), 409, "CONFLICT"),
        (AccountBusy(), 409, "CONFLICT"),
        (InputChanged(), 409, "INPUT_CHANGED"),
        (RequestInvalid("bad", field="labels"), 422, "VALIDATION_ERROR"),
        (Unavailable(), 503, "UNAVAILABLE"),
        (ModelUnusable.named("gpt"), 503, "UNAVAILABLE"),
        (StorageUnavailable(), 503, "UNAVAILABLE"),
        (KeyNotFound(), 404, "NOT_FOUND"),
        (LastKey(), 409, "CONFLICT"),
        (TooManyKeys(), 409, "CONFLICT"),
        (KeyUncertain(id="key_1"), 500, "KEY_UNCERTAIN"),
        (RecordUnreadable.of("batch_1"), 500, "INTERNAL_ERROR"),
    ],
)
def test_an_exception_of_ours_has_its_status_message_and_details(
    error: LabelworksError, status: int, code: str
) -> None:
    answer = call("GET", "/fail", error=error)
    body = envelope(answer, status, code)
    assert body["message"] == error.message
    assert body["details"] == error.details
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    assert answer.headers.get("retry-after") == ("5" if status == 503 else None)


def test_why_the_storage_failed_is_told_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    answer = call("GET", "/fail", error=StorageUnavailable(reason="no route to http://minio.internal:9000"))
    body = envelope(answer, 503, "UNAVAILABLE")
    assert (body["message"], body["details"]) == ("The object storage does not answer. Try again shortly.", {})
    assert "minio.internal" not in answer.text
    assert "no route to http://minio.internal:9000" in caplog.text


def test_too_many_requests_are_a_429_that_tells_when_to_come_again() -> None:
    answer = call("GET", "/fail", error=TooManyRequests("Slower.", limit=60, retry_after=7))
    assert envelope(answer, 429, "RATE_LIMITED")["details"] == {"limit": 60, "retry_after": 7}
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    "error",
    [LabelworksError("secret"), ObjectMissing("secret"), DriverSuperseded("secret"), ValueError("secret"), OSError()],
)
def test_an_unexpected_error_is_a_500_that_tells_nothing_but_its_request_id(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    answer = call("GET", "/fail", error=error, headers={"X-Request-ID": "mine-1"})
    body = envelope(answer, 500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
    assert "X-Request-ID" in body["message"]
    assert answer.headers["x-request-id"] == "mine-1"
    (logged,) = [record for record in caplog.records if record.name.startswith("serve_app")]
    assert "mine-1" in logged.getMessage()
    assert logged.exc_info
    assert logged.exc_info[1] is error


def test_an_unknown_path_is_a_404_and_a_wrong_method_a_405() -> None:
    assert "GET '/nothing'" in envelope(call("GET", "/nothing"), 404, "NOT_FOUND")["message"]
    answer = call("DELETE", "/v1/batch")
    assert "DELETE '/v1/batch'" in envelope(answer, 405, "METHOD_NOT_ALLOWED")["message"]
    assert answer.headers["allow"] == "POST"


def test_each_request_has_its_own_id() -> None:
    assert call("GET", "/fail").headers["x-request-id"] != call("GET", "/fail").headers["x-request-id"]


def padded(size: int) -> bytes:
    body = b'{"labels":["a"],"cache":"'
    return body + b"x" * (size - len(body) - 2) + b'"}'


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 100_000):
        yield body[start : start + 100_000]


def test_a_body_of_exactly_the_limit_is_taken_declared_or_not() -> None:
    assert len(padded(MAX_BODY_BYTES)) == MAX_BODY_BYTES == 1024 * 1024
    assert call("POST", "/v1/batch", content=padded(MAX_BODY_BYTES)).status_code == 201
    assert call("POST", "/v1/batch", content=chunks(padded(MAX_BODY_BYTES))).status_code == 201


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_a_413_that_names_it(declared: bool) -> None:
    body = padded(MAX_BODY_BYTES + 1)
    answer = call("POST", "/v1/batch", content=body if declared else chunks(body))
    found = envelope(answer, 413, "BODY_TOO_LARGE")
    assert found["message"].startswith("The request body has 1,048,577 bytes or more; the limit is 1,048,576 (1 MB).")
    assert found["details"] == {"limit": 1_048_576}


def test_an_endless_body_is_not_read_to_its_end() -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b"x" * 100_000

    envelope(call("POST", "/v1/batch", content=endless()), 413, "BODY_TOO_LARGE")
    assert given <= 12


def test_a_body_that_arrives_byte_by_byte_is_a_408_once_its_time_is_up_and_its_connection_ends() -> None:
    async def slow() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    answer = call("POST", "/v1/batch", content=slow(), body_seconds=0.1)
    found = envelope(answer, 408, "REQUEST_TIMEOUT")
    assert "in 0.1 seconds" in found["message"]
    assert found["details"] == {"limit_seconds": 0.1}
    assert answer.headers["connection"] == "close"


def asgi(headers: list[tuple[bytes, bytes]], messages: list[Message]) -> list[Message]:
    """What the app sends for a request as a server would hand it over."""
    sent: list[Message] = []
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/batch",
        "raw_path": b"/v1/batch",
        "query_string": b"",
        "headers": headers,
    }
    asyncio.run(app_that_raises()(scope, receive, send))
    return sent


def test_a_declared_body_over_the_limit_is_refused_before_it_is_read() -> None:
    sent = asgi([(b"content-length", b"99999999")], [])
    assert sent[0]["status"] == 413


@pytest.mark.parametrize("length", [b"\xb2", b"-1", b"", b"abc"])
def test_a_declared_length_that_is_no_number_is_not_believed(length: bytes) -> None:
    body = b'{"labels":["a"]}'
    headers = [(b"content-length", length), (b"content-type", b"application/json")]
    sent = asgi(headers, [{"type": "http.request", "body": body, "more_body": False}])
    assert sent[0]["status"] == 201


def test_a_client_that_hangs_up_while_sending_is_not_answered() -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert asgi([], messages) == []


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"labels": ["a", "a "]}, "labels", "Labels must be unique"),
        ({}, "labels", "labels is required: a list of 1 to 200 different strings"),
        ({"labels": ["a"], "labelz": 1}, "labelz", "Unknown field 'labelz'"),
        (
            {"labels": ["a"], "descriptions": {"b": "x"}},
            "descriptions",
            "Every key of descriptions must be one of labels; 'b' is not",
        ),
        (
            {"labels": ["a"], "examples": {"a": ["x"], "a ": ["y"]}},
            "examples",
            "Keys of examples must be unique once they are trimmed; 'a' is there more than once",
        ),
        (
            {"labels": ["a", "b"], "examples": {"a": ["x"] * 20_000, "b": ["y"]}},
            "examples",
            "examples has 20,001 texts for all labels together; the limit is 20,000",
        ),
        (
            {"labels": ["a"], "descriptions": {"a": "x" * 400_000}, "examples": {"a": ["x" * 600_001]}},
            "examples",
            "The texts of descriptions and examples have 1,000,001 characters together; the limit is 1,000,000",
        ),
        (
            {"labels": ["a"], "descriptions": {"a": "x" * 1_000_001}},
            "descriptions",
            "The texts of descriptions and examples have 1,000,001 characters together; the limit is 1,000,000",
        ),
        (
            {"labels": [str(number) for number in range(201)]},
            "labels",
            "labels: List should have at most 200 items after validation, not 201; seen: 201 entries",
        ),
        (
            {"labels": ["a", "x" * 101]},
            "labels.1",
            f"labels.1: String should have at most 100 characters; seen: '{'x' * 50}' (101 characters)",
        ),
        (
            {"labels": ["a"], "threshold": 1.5},
            "threshold",
            "threshold: Input should be less than or equal to 1, not 1.5",
        ),
        (
            {"labels": ["a"], "threshold": True},
            "threshold",
            "threshold: Input should be a valid number, not True",
        ),
        (
            {"labels": ["a"], "mode": "both"},
            "mode",
            "mode: Input should be 'single' or 'multi'; seen: 'both' (4 characters)",
        ),
        ({"labels": ["a", None]}, "labels.1", "labels.1: Input should be a valid string, not null"),
        ([1], "body", "body: Input should be a valid dictionary or object to extract fields from; seen: 1 entries"),
        (b"", "body", "body: Field required"),
    ],
)
def test_a_request_that_breaks_a_rule_is_a_422_that_names_field_limit_and_value(
    body: Any, field: str, message: str
) -> None:
    found = envelope(post(body), 422, "VALIDATION_ERROR")
    assert found["message"] == message
    assert found["details"] == {"field": field}


def test_a_body_that_is_no_json_says_so() -> None:
    found = envelope(post(b'{"labels": [}'), 422, "VALIDATION_ERROR")
    assert found["message"].startswith("The body is not valid JSON")


@pytest.mark.parametrize(
    "body",
    [
        b'{"labels":["a"],"threshold":NaN}',
        b'{"labels":["a"],"threshold":1e999}',
        b'{"labels":["a"],"threshold":-Infinity}',
        b'{"labels":["a"],"threshold":' + b"9" * 4000 + b"}",
        b'{"labels":["a",' + b"9" * 4000 + b"]}",
        b'{"labels":["\\ud800"]}',
        b'{"labels":["a"],"\\ud800":1}',
        b'{"labels":["a"],"descriptions":{"\\ud800":"x"}}',
        b'{"labels":["a"],"descriptions":{"a":"\\udc00"}}',
        b'{"labels":["a"],"examples":{"a":["\\ud800"]}}',
        b'{"labels":["a"],"examples":{"\\ud800":["x"]}}',
        b'{"labels":["a"],"source_type":"\\ud800"}',
        b'{"labels":["a"],"mode":"\\ud800"}',
        b'{"labels":["a"],"' + b"k" * 100_000 + b'":1}',
        b'{"labels":["a"],"descriptions":{"' + b"k" * 100_000 + b'":"x"}}',
        b'{"labels":["a"],"descriptions":{"' + "é\n\u0001".encode().hex().encode() + b'":"x"}}',
        b'"labels"',
        b"null",
        b"7",
    ],
)
def test_a_hostile_body_is_a_422_of_bounded_length(body: bytes) -> None:
    answer = post(body)
    envelope(answer, 422, "VALIDATION_ERROR")
    assert len(answer.content) < 2_000


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"labels":' + b"[" * 200_000, b'{"cache":' + b"9" * 5_000 + b"}", b'{"labels":["\xff"]}']
)
def test_a_body_that_cannot_be_read_is_the_clients_fault(body: bytes) -> None:
    assert envelope(post(body), 422, "VALIDATION_ERROR")["details"] == {"field": "body"}


@pytest.mark.parametrize("content_type", ["text/json", "application/x-ndjson", "text/plain", "application/x/y+json"])
def test_a_body_of_another_content_type_says_which_is_wanted(content_type: str) -> None:
    answer = call("POST", "/v1/batch", content=b'{"labels":["a"]}', headers={"Content-Type": content_type})
    wanted = "The body must be JSON, sent with the header Content-Type: application/json"
    assert envelope(answer, 422, "VALIDATION_ERROR")["message"] == wanted


@pytest.mark.parametrize(
    "content_type", ["Application/JSON; charset=utf-8", "application/vnd.api+json", "application/+json"]
)
def test_every_json_content_type_is_read(content_type: str) -> None:
    answer = call("POST", "/v1/batch", content=b'{"labels":["a"]}', headers={"Content-Type": content_type})
    assert answer.status_code == 201


def test_a_repeated_field_is_a_422_that_names_it() -> None:
    found = envelope(post(b'{"labels":["a"],"labels":["b"]}'), 422, "VALIDATION_ERROR")
    assert found["message"] == "The body is not valid JSON: the field 'labels' is there more than once"
