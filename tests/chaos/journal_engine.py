"""A real engine whose work is noted in the journal; it can be slowed down, so that a kill finds a job in its middle.

Named to the service as ``LABELWORKS_MODELS=["tests.chaos.journal_engine"]``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from models.protocol import Classifier, Engine, EngineInfo, OnBatch, TokenCounter
from models.registry import load_engine
from models.registry import load_token_counter as load_counter
from models.task import ClassificationTask, Prediction
from tests.chaos.journal import Journal

ENGINE = "CHAOS_ENGINE"
SECONDS_PER_TEXT = "CHAOS_SECONDS_PER_TEXT"
_SLOW_PORTION = 25


class JournalEngine:
    """Binds the real engine and wraps its classifiers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    def bind(self, task: ClassificationTask) -> Classifier:
        pace = float(os.environ.get(SECONDS_PER_TEXT, "0"))
        return JournalClassifier(self._engine.bind(task), Journal.of_this_process(), pace)


class JournalClassifier:
    """Classifies as the real one does and notes each batch once it is done."""

    def __init__(self, classifier: Classifier, journal: Journal, seconds_per_text: float) -> None:
        self._classifier = classifier
        self._journal = journal
        self._seconds_per_text = seconds_per_text

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        def note(count: int, tokens: int) -> None:
            time.sleep(count * self._seconds_per_text)
            self._journal.add(count)
            if on_batch:
                on_batch(count, tokens)

        step = _SLOW_PORTION if self._seconds_per_text else max(len(texts), 1)
        return [
            prediction
            for first in range(0, len(texts), step)
            for prediction in self._classifier.classify(texts[first : first + step], note)
        ]


def load(threads: int | None, weights: str | None) -> Engine:
    return JournalEngine(load_engine(_engine_name(), threads=threads, weights=weights))


def load_token_counter(weights: str | None) -> TokenCounter:
    return load_counter(_engine_name(), weights=weights)


def _engine_name() -> str:
    return os.environ.get(ENGINE, "minilm")
