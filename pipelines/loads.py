"""How often the processes of classifiers died while they loaded the engine. Pure."""

from __future__ import annotations

from collections import Counter


class EngineLoads:
    """The loads of one job's classifiers, kept outside their processes, which may die.

    A classifier keeps its name when its process is restarted. The deaths of each are counted apart: if several die at
    once because their node is lost, that says nothing about the engine.
    """

    def __init__(self) -> None:
        self._under_way: set[str] = set()
        self._deaths: Counter[str] = Counter()

    def begin(self, classifier: str) -> int:
        """The classifier begins to load. Returns how often in a row its process has died while it did."""
        if classifier in self._under_way:
            self._deaths[classifier] += 1
        self._under_way.add(classifier)
        return self._deaths[classifier]

    def ended(self, classifier: str) -> None:
        """Its process has loaded the engine, or knows why it cannot be."""
        self._under_way.discard(classifier)
        del self._deaths[classifier]
