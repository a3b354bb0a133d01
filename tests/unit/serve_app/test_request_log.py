"""The log lines that requests leave."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from pipelines.job import JobConfig, JobRecord
from serve_app import request_log
from serve_app.request_log import RequestLogMiddleware, UnexpectedErrorMiddleware, note_job

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

    monkeypatch.setattr(request_log, "logger", logging.getLogger("of_this_test"))
    with caplog.at_level(logging.INFO), pytest.raises(asyncio.CancelledError):
        asyncio.run(RequestLogMiddleware(cut_off)(SCOPE, nothing, ignored))

    (line,) = caplog.records
    assert (line.getMessage(), line.__dict__["job_id"], line.__dict__["status"]) == (
        "/v1/batch/batch_1",
        "batch_1",
        499,
    )


@pytest.mark.parametrize("noted", [True, False])
def test_the_lines_of_a_call_that_fails_name_its_job_and_the_attempt_where_its_route_knows_it(
    noted: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = JobRecord(
        job_id="batch_1",
        account="acme",
        config=JobConfig(labels=("a",), model="minilm"),
        created_at=datetime.now(UTC),
        attempt=3,
        request_id="of the call that started it",
    )

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        if noted:
            assert note_job(Request(scope), job) is job
        raise ValueError

    monkeypatch.setattr(request_log, "logger", logging.getLogger("of_this_test"))
    with caplog.at_level(logging.INFO):
        asyncio.run(RequestLogMiddleware(UnexpectedErrorMiddleware(fails))({**SCOPE}, nothing, ignored))

    assert [line.getMessage() for line in caplog.records] == ["request r-1 failed", "/v1/batch/batch_1"]
    for line in caplog.records:
        assert line.__dict__["job_id"] == "batch_1"
        assert line.__dict__.get("attempt") == (3 if noted else None)
        assert "request_id" not in line.__dict__
