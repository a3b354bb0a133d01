"""An event loop that waits for no time: whatever is due next is due at once, in the order of its times."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0 if timeout else timeout)
        if timeout and not found:
            self.skipped += timeout
        return found


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skipping = _Selector()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.skipped


def ran(test: Coroutine[Any, Any, None]) -> None:
    """For what waits for nothing but the loop's own clock: no thread, no other process."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(test)
