"""Keeps calls from piling up in front of a storage that does not answer. Pure: the clock is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.exceptions import StorageUnavailable


class StoragePlaces:
    """For calls that need the storage: any number while it answers, ``limit`` while it does not.

    It does not answer where one of the calls has waited for ``seconds`` by ``clock``.
    """

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        # In the order in which they came.
        self._since: dict[object, float] = {}

    @contextmanager
    def place(self) -> Iterator[None]:
        """Raises StorageUnavailable where there is none."""
        now = self._clock()
        oldest = next(iter(self._since.values()), now)
        if len(self._since) >= self._limit and now - oldest >= self._seconds:
            raise StorageUnavailable(
                f"{len(self._since)} calls wait for the object storage already, which does not answer in time. Try"
                " again shortly."
            )
        call = object()
        self._since[call] = now
        try:
            yield
        finally:
            del self._since[call]
