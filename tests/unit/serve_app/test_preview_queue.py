from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from models.task import Prediction
from pipelines.exceptions import LabelworksError, Unavailable
from pipelines.job import JobConfig
from serve_app.preview_classifier import PreviewAnswer, PreviewRequest
from serve_app.preview_queue import Outcome, PreviewQueue


def request(*texts: str) -> PreviewRequest:
    return PreviewRequest("acme", JobConfig(labels=("a",), model="minilm"), texts)


def answers(one: PreviewRequest) -> list[PreviewAnswer]:
    """An answer that tells its text by the number of its tokens."""
    return [PreviewAnswer(Prediction((), len(text)), cached=False) for text in one.texts]


class Gate:
    """Answers requests once it is opened; notes what came together."""

    def __init__(self) -> None:
        self.batches: list[list[PreviewRequest]] = []
        self.begun = threading.Event()
        self.open = threading.Event()

    def answer(self, requests: Sequence[PreviewRequest]) -> list[Outcome]:
        self.batches.append(list(requests))
        self.begun.set()
        assert self.open.wait(10)
        return [LabelworksError("it broke") if "broken" in one.texts else answers(one) for one in requests]


async def behind_a_first(
    queue: PreviewQueue, gate: Gate, *requests: PreviewRequest
) -> list[asyncio.Task[list[PreviewAnswer]]]:
    """Requests, begun in their order, that wait until the gate is opened for one before them."""
    first = asyncio.create_task(queue.answer(request("first")))
    await asyncio.to_thread(gate.begun.wait, 10)
    waiting = [asyncio.create_task(queue.answer(one)) for one in requests]
    await asyncio.sleep(0)
    return [first, *waiting]


def test_what_arrives_while_a_batch_is_classified_is_classified_together_next() -> None:
    async def scenario() -> None:
        gate = Gate()
        queue = PreviewQueue(gate.answer, texts_at_once=3, seconds=60)
        requests = [request("a"), request("bb", "ccc"), request("dddd"), request("e", "f", "g", "h"), request("i")]
        tasks = await behind_a_first(queue, gate, *requests)
        gate.open.set()
        assert await asyncio.gather(*tasks[1:]) == [answers(one) for one in requests]
        assert gate.batches == [[request("first")], requests[:2], requests[2:3], requests[3:4], requests[4:]]

    asyncio.run(scenario())


def test_a_request_that_fails_fails_alone() -> None:
    async def scenario() -> None:
        gate = Gate()
        tasks = await behind_a_first(PreviewQueue(gate.answer, 3, 60), gate, request("broken"), request("a"))
        gate.open.set()
        with pytest.raises(LabelworksError, match="it broke"):
            await tasks[1]
        assert await tasks[2] == answers(request("a"))

    asyncio.run(scenario())


def test_a_request_that_was_cancelled_or_whose_time_is_up_is_not_classified() -> None:
    async def scenario() -> None:
        gate = Gate()
        hasty = PreviewQueue(gate.answer, 3, seconds=0.2)
        tasks = await behind_a_first(hasty, gate, request("late"))
        await asyncio.sleep(0.3)
        kept = asyncio.create_task(hasty.answer(request("kept")))
        cancelled = asyncio.create_task(hasty.answer(request("cancelled")))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        with pytest.raises(Unavailable):
            await tasks[1]
        assert await kept == answers(request("kept"))
        assert gate.batches == [[request("first")], [request("kept")]]

    asyncio.run(scenario())


def test_an_unexpected_failure_is_told_to_all_who_wait_and_the_queue_goes_on() -> None:
    calls = 0

    def answer(requests: Sequence[PreviewRequest]) -> list[Outcome]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise MemoryError
        return [answers(one) for one in requests]

    async def scenario() -> None:
        queue = PreviewQueue(answer, 3, 60)
        with pytest.raises(MemoryError):
            await queue.answer(request("a"))
        assert await queue.answer(request("b")) == answers(request("b"))

    asyncio.run(scenario())
