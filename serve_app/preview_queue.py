"""Dynamic batching: what arrives while a batch is classified makes up the next one. Pure asyncio."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.exceptions import LabelworksError, Unavailable
from serve_app.preview_classifier import PreviewAnswer, PreviewRequest

Outcome = list[PreviewAnswer] | LabelworksError
AnswerRequests = Callable[[Sequence[PreviewRequest]], list[Outcome]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: PreviewRequest
    until: float
    answered: asyncio.Future[Outcome]


class PreviewQueue:
    """Answers requests in the order of their arrival, as many at a time as hold ``texts_at_once`` texts.

    Nobody waits for a batch to fill. ``answer_requests`` runs in a thread, one call at a time. A request whose turn
    has not come after ``seconds`` is given up: who sent it has been told so.
    """

    def __init__(self, answer_requests: AnswerRequests, texts_at_once: int, seconds: float) -> None:
        self._answer_requests = answer_requests
        self._texts_at_once = texts_at_once
        self._seconds = seconds
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def answer(self, request: PreviewRequest) -> list[PreviewAnswer]:
        """Raises Unavailable when it is given up, LabelworksError when classifying failed."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, time.monotonic() + self._seconds, loop.create_future())
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        outcome = await waiting.answered
        if isinstance(outcome, LabelworksError):
            raise outcome
        return outcome

    async def _work(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            requests = [each.request for each in batch]
            try:
                outcomes = await asyncio.to_thread(self._answer_requests, requests)
            except Exception as error:  # noqa: BLE001 - those who wait must hear of it
                for each in batch:
                    if not each.answered.done():
                        each.answered.set_exception(error)
                continue
            for each, outcome in zip(batch, outcomes, strict=True):
                if not each.answered.done():
                    each.answered.set_result(outcome)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        texts = 0
        while self._waiting:
            first = self._waiting[0]
            if not first.answered.done() and first.until < time.monotonic():
                first.answered.set_result(Unavailable("The preview has too much to do. Try again shortly."))
            if first.answered.done():
                self._waiting.popleft()
                continue
            texts += len(first.request.texts)
            if batch and texts > self._texts_at_once:
                break
            batch.append(self._waiting.popleft())
        return batch
