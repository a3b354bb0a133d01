"""What an API replica makes of a preview deployment that is slow, dead or overloaded."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from pipelines.exceptions import Unavailable
from pipelines.job import JobConfig
from pipelines.settings import Settings
from serve_app.preview_classifier import PreviewRequest
from serve_app.preview_deployment import PreviewClient

REQUEST = PreviewRequest("acme", JobConfig(labels=("a",), model="minilm"), ("text",))


class FakeResponse:
    """Gives no answer until ``error`` is there to be raised."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error
        self.cancelled = False

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        if self._error:
            raise self._error
        await asyncio.sleep(60)

    def cancel(self) -> None:
        self.cancelled = True


class FakeHandle:
    def __init__(self, error: Exception | None = None) -> None:
        self.answer = self
        self._error = error
        self.responses: list[FakeResponse] = []

    def remote(self, _: PreviewRequest) -> FakeResponse:
        self.responses.append(FakeResponse(self._error))
        return self.responses[-1]


def client(handle: FakeHandle, **settings: Any) -> PreviewClient:
    made = PreviewClient(Settings(**settings))
    made._handle = handle  # type: ignore[assignment]
    return made


def test_a_call_that_takes_too_long_is_unavailable_and_cancelled() -> None:
    handle = FakeHandle()
    with pytest.raises(Unavailable, match="took longer than"):
        asyncio.run(client(handle, preview_seconds=0.05).answer(REQUEST))
    assert handle.responses[0].cancelled


@pytest.mark.parametrize("error", [RayActorError(), BackPressureError(num_queued_requests=1, max_queued_requests=1)])
def test_a_deployment_that_is_not_there_is_unavailable(error: Exception) -> None:
    with pytest.raises(Unavailable, match="restarting"):
        asyncio.run(client(FakeHandle(error)).answer(REQUEST))


def test_what_is_too_much_at_once_is_unavailable_and_leaves_no_trace() -> None:
    async def scenario() -> None:
        handle = FakeHandle()
        preview = client(handle, previews_in_flight=2)
        tasks = [asyncio.create_task(preview.answer(REQUEST)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="answering 2 preview calls with 10 characters"):
            await preview.answer(REQUEST)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        large = PreviewRequest("acme", JobConfig(labels=("a",), model="minilm"), ("x" * 5_000_000,))
        alone = asyncio.create_task(preview.answer(large))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="5,000,001 characters"):
            await preview.answer(REQUEST)
        assert len(handle.responses) == 3
        alone.cancel()

    asyncio.run(scenario())


def test_what_is_said_of_labels_counts_as_texts_do() -> None:
    async def scenario() -> None:
        handle = FakeHandle()
        preview = client(handle)
        task = JobConfig(
            labels=("a",),
            descriptions={"a": "x" * 3_000_000},
            examples={"a": ("y" * 2_000_000, "z")},
            model="minilm",
        )
        large = asyncio.create_task(preview.answer(PreviewRequest("acme", task, ("text",))))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="answering 1 preview calls with 5,000,006 characters"):
            await preview.answer(REQUEST)
        large.cancel()

    asyncio.run(scenario())
