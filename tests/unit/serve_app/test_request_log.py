"""The log line that every request leaves."""

from __future__ import annotations

import asyncio
import logging

import pytest
from starlette.types import Message, Receive, Scope, Send

from serve_app import middleware
from serve_app.middleware import RequestLogMiddleware

SCOPE: Scope = {
    "type": "http",
    "method": "GET",
    "path": "/v1/batch/batch_1",
    "path_params": {"job_id": "batch_1"},
    "query_string": b"token=secret",
    "headers": [(b"x-request-id", b"r-1")],
}


async def nothing() -> Message:
    return {"type": "http.disconnect"}


async def ignored(_: Message) -> None:
    return None


def test_a_call_whose_client_went_away_leaves_its_line_too_without_its_query(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def cut_off(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(middleware, "logger", logging.getLogger("of_this_test"))
    with caplog.at_level(logging.INFO), pytest.raises(asyncio.CancelledError):
        asyncio.run(RequestLogMiddleware(cut_off)(SCOPE, nothing, ignored))

    (line,) = caplog.records
    assert (line.getMessage(), line.__dict__["job_id"], line.__dict__["status"]) == (
        "/v1/batch/batch_1",
        "batch_1",
        499,
    )
