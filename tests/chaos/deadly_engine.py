"""The journalled engine, except that some texts end, or hang, the process that classifies them, as faults in native
code do.

Named to the service as ``LABELWORKS_MODELS=["tests.chaos.deadly_engine"]``.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

from models.protocol import Classifier, Engine, OnBatch, TokenCounter
from models.task import Prediction
from tests.chaos import journal_engine
from tests.chaos.wrapped_engine import WrappedEngine

EXITS = "this text ends the process"
CRASHES = "this text crashes the process"
HANGS = "this text hangs the process"


class DeadlyClassifier:
    """Dies, or hangs, as soon as it is handed a deadly text."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        if any(EXITS in text for text in texts):
            os._exit(1)
        if any(CRASHES in text for text in texts):
            ctypes.string_at(0)
        if any(HANGS in text for text in texts):
            # Without giving the interpreter's lock up, so that no thread of Python runs any more.
            ctypes.PyDLL(None).pause()
        return self._classifier.classify(texts, on_batch)


def load(threads: int | None, weights: str | None) -> Engine:
    return WrappedEngine(journal_engine.load(threads, weights), DeadlyClassifier)


def load_token_counter(weights: str | None) -> TokenCounter:
    return journal_engine.load_token_counter(weights)
