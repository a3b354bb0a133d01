"""How many calls may wait for the storage."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from pipelines.exceptions import StorageUnavailable
from serve_app.storage_places import StoragePlaces


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_any_number_of_calls_may_wait_for_a_storage_that_answers_and_a_few_for_one_that_does_not() -> None:
    clock = Clock()
    places = StoragePlaces(2, 5.0, clock)
    with ExitStack() as waiting:
        first = waiting.enter_context(ExitStack())
        for since in (0.0, 4.0, 4.9):
            clock.now = since
            (first if since == 0.0 else waiting).enter_context(places.place())
        clock.now = 5.0
        with pytest.raises(StorageUnavailable, match="3 calls wait"), places.place():
            pass
        # The next one has not waited for so long.
        first.close()
        with places.place():
            pass
        clock.now = 9.0
        with pytest.raises(StorageUnavailable), places.place():
            pass
    with places.place():
        clock.now = 60.0
        with places.place():
            pass
