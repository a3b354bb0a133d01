"""How often the processes of classifiers died while they loaded the engine. Pure."""

from __future__ import annotations

from collections import Counter


class EngineLoads:
    """The loads of one job's classifiers, kept where the death of a classifier's process does not reach.

    A classifier keeps its name over the restarts of its process. Deaths are counted for each alone: those of several
    that load at the same time, on a node that is lost, say nothing about the engine.
    """

    def __init__(self) -> None:
        self._under_way: set[str] = set()
        self._deaths: Counter[str] = Counter()

    def begin(self, classifier: str) -> int:
        """The classifier begins to load; how often in a row its process has died over that."""
        if classifier in self._under_way:
            self._deaths[classifier] += 1
        self._under_way.add(classifier)
        return self._deaths[classifier]

    def ended(self, classifier: str) -> None:
        """Its process has loaded the engine, or knows why it cannot be."""
        self._under_way.discard(classifier)
        del self._deaths[classifier]
