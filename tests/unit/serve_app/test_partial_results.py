"""How many partial results an API replica reads at a time."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from pipelines.exceptions import Unavailable
from pipelines.job import JobConfig, JobRecord
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app import partial_results as partial_results_module
from serve_app.errors import error_response
from serve_app.partial_results import PartialResultsReader
from serve_app.schemas import PartialResults

JOB = JobRecord(
    job_id="batch_0123456789abcdef",
    account="acme",
    config=JobConfig(labels=("a",), model="minilm"),
    created_at=datetime(2026, 11, 1, tzinfo=UTC),
)
ANSWER = PartialResults(job_id=JOB.job_id, status="failed", parts=[])


def test_few_are_read_at_a_time_by_threads_of_their_own_and_what_comes_on_top_of_those_that_wait_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on = threading.Event()
    readers: set[str] = set()

    def read(*_: Any) -> PartialResults:
        readers.add(threading.current_thread().name)
        assert goes_on.wait(60)
        return ANSWER

    monkeypatch.setattr(partial_results_module, "partial_results", read)
    settings = Settings()
    reader = PartialResultsReader(ObjectStore(settings), settings)

    async def calls() -> None:
        # One whose client has gone still takes a place, as its thread works on.
        gone, *reading = [asyncio.create_task(reader.read(JOB)) for _ in range(10)]
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        with pytest.raises(Unavailable) as refused:
            await reader.read(JOB)
        assert error_response(refused.value).headers["Retry-After"]
        # Other calls have threads.
        assert await asyncio.to_thread(lambda: "other")
        goes_on.set()
        assert [await each for each in reading] == [ANSWER] * 9
        assert await reader.read(JOB) == ANSWER

    asyncio.run(asyncio.wait_for(calls(), 60))
    assert readers == {"partial-results_0", "partial-results_1"}
