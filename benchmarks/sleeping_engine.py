"""An engine whose cost is time but no processor, so that one machine can stand for many nodes.

Named to the service as ``LABELWORKS_MODELS=["benchmarks.sleeping_engine"]``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from models.protocol import Classifier, Engine, EngineInfo, OnBatch, TokenCounter
from models.task import ClassificationTask, Prediction, ScoredLabel

SECONDS_PER_TEXT = "SLEEPING_ENGINE_SECONDS_PER_TEXT"
_BATCH = 50


class SleepingEngine:
    info = EngineInfo("sleeping", "cpu")

    def bind(self, task: ClassificationTask) -> Classifier:
        return SleepingClassifier(task.labels[0], float(os.environ[SECONDS_PER_TEXT]))


class SleepingClassifier:
    """Answers everything with the first label."""

    def __init__(self, label: str, seconds_per_text: float) -> None:
        self._answer = Prediction((ScoredLabel(label, 1.0),), tokens=1)
        self._seconds_per_text = seconds_per_text

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        for first in range(0, len(texts), _BATCH):
            batch = len(texts[first : first + _BATCH])
            time.sleep(batch * self._seconds_per_text)
            if on_batch:
                on_batch(batch, batch)
        return [self._answer] * len(texts)


class OneToken:
    """Counts every text as one token."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [1] * len(texts)


def load(threads: int | None, weights: str | None) -> Engine:
    return SleepingEngine()


def load_token_counter(weights: str | None) -> TokenCounter:
    return OneToken()
