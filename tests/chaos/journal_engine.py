"""A real engine whose work is noted in the journal; it can be slowed down, so that a kill finds a job in its middle.

Named to the service as ``LABELWORKS_MODELS=["tests.chaos.journal_engine"]``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from models.protocol import Classifier, Engine, OnBatch, TokenCounter
from models.registry import load_engine
from models.registry import load_token_counter as load_counter
from models.task import Prediction
from tests.chaos.journal import Journal
from tests.chaos.wrapped_engine import WrappedEngine

ENGINE = "CHAOS_ENGINE"
SECONDS_PER_TEXT = "CHAOS_SECONDS_PER_TEXT"
_SLOW_PORTION = 25


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
    return WrappedEngine(load_engine(_engine_name(), threads=threads, weights=weights), _journalled)


def load_token_counter(weights: str | None) -> TokenCounter:
    return load_counter(_engine_name(), weights=weights)


def _journalled(classifier: Classifier) -> Classifier:
    return JournalClassifier(classifier, Journal.of_this_process(), float(os.environ.get(SECONDS_PER_TEXT, "0")))


def _engine_name() -> str:
    return os.environ.get(ENGINE, "minilm")
