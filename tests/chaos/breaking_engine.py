"""The static engine, except that some texts break its process for good, as an illegal access breaks a GPU's context.

Named to the service as ``LABELWORKS_MODELS=["tests.chaos.breaking_engine"]``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from models.protocol import Classifier, Engine, OnBatch, TokenCounter
from models.registry import load_engine
from models.registry import load_token_counter as load_counter
from models.task import Prediction
from tests.chaos.wrapped_engine import WrappedEngine

BREAKS_ONCE = "this text breaks the first process that comes to it"
BREAKS_ALWAYS = "this text breaks every process that comes to it"
BREAKS_ALL = "this text breaks every process from then on, whatever that comes to"
BROKEN_FILE = "CHAOS_BROKEN_FILE"
"""Where the text is noted that a process broke at."""


class BreakingClassifier:
    """Fails on whatever it is given once it is broken."""

    def __init__(self, classifier: Classifier, noted: Path) -> None:
        self._classifier = classifier
        self._noted = noted
        self._broken = BREAKS_ALL in self._seen()

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        seen = self._seen()
        breaking = [text for text in texts if text in (BREAKS_ALWAYS, BREAKS_ALL) or (text == BREAKS_ONCE and not seen)]
        if breaking:
            self._noted.write_text(breaking[0])
            self._broken = True
        if self._broken:
            raise RuntimeError("an illegal memory access was encountered")
        return self._classifier.classify(texts, on_batch)

    def _seen(self) -> str:
        return self._noted.read_text() if self._noted.exists() else ""


def load(threads: int | None, weights: str | None) -> Engine:
    noted = Path(os.environ[BROKEN_FILE])
    return WrappedEngine(load_engine("static", threads=threads), lambda bound: BreakingClassifier(bound, noted))


def load_token_counter(weights: str | None) -> TokenCounter:
    return load_counter("static")
