"""The static engine, except that some texts break its process for good, as an illegal access breaks a GPU's context.

Named to the service as ``LABELWORKS_MODELS=["tests.chaos.breaking_engine"]``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from models.protocol import Classifier, Engine, EngineInfo, OnBatch, TokenCounter
from models.registry import load_engine
from models.registry import load_token_counter as load_counter
from models.task import ClassificationTask, Prediction

BREAKS_ONCE = "this text breaks the first process that comes to it"
BREAKS_ALWAYS = "this text breaks every process that comes to it"
BROKEN_FILE = "CHAOS_BROKEN_FILE"
"""Where is noted that a process broke."""


class BreakingEngine:
    """Binds the real engine and wraps its classifiers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    def bind(self, task: ClassificationTask) -> Classifier:
        return BreakingClassifier(self._engine.bind(task), Path(os.environ[BROKEN_FILE]))


class BreakingClassifier:
    """Fails on whatever it is given once it is broken."""

    def __init__(self, classifier: Classifier, noted: Path) -> None:
        self._classifier = classifier
        self._noted = noted
        self._broken = False

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        if any(text == BREAKS_ALWAYS or (text == BREAKS_ONCE and not self._noted.exists()) for text in texts):
            self._noted.touch()
            self._broken = True
        if self._broken:
            raise RuntimeError("an illegal memory access was encountered")
        return self._classifier.classify(texts, on_batch)


def load(threads: int | None, weights: str | None) -> Engine:
    return BreakingEngine(load_engine("static", threads=threads))


def load_token_counter(weights: str | None) -> TokenCounter:
    return load_counter("static")
