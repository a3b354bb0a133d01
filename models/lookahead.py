"""Prepares items in a thread of its own while their reader is busy with earlier ones."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

Item = TypeVar("Item")
_END = object()


@dataclass(slots=True)
class Waits:
    """How long readers waited for what was prepared ahead of them, since this was made."""

    seconds: float = 0.0


def ahead(items: Iterable[Item], depth: int, waits: Waits | None = None) -> Iterator[Item]:
    """The same items in the same order, up to ``depth`` of them made before they are asked for.

    What the items' source raises is raised here, at its place. A reader that stops early ends the thread.
    """
    source = iter(items)
    worker = ThreadPoolExecutor(1, "lookahead")
    made: deque[Future[object]] = deque(worker.submit(_next, source) for _ in range(depth))
    try:
        while True:
            asked_at = time.perf_counter()
            item = made.popleft().result()
            if waits is not None:
                waits.seconds += time.perf_counter() - asked_at
            if item is _END:
                return
            made.append(worker.submit(_next, source))
            yield cast(Item, item)
    finally:
        worker.shutdown(cancel_futures=True)


def _next(source: Iterator[Item]) -> object:
    return next(source, _END)
