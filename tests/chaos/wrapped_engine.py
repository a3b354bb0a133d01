"""An engine whose classifiers are wrapped in something that disturbs or watches them."""

from __future__ import annotations

from collections.abc import Callable

from models.protocol import Classifier, Engine, EngineInfo
from models.task import ClassificationTask


class WrappedEngine:
    """Binds ``engine``; ``wrap`` makes of each of its classifiers the one that is used."""

    def __init__(self, engine: Engine, wrap: Callable[[Classifier], Classifier]) -> None:
        self._engine = engine
        self._wrap = wrap

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    def bind(self, task: ClassificationTask) -> Classifier:
        return self._wrap(self._engine.bind(task))
