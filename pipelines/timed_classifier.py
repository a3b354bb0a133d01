"""Ending a process whose classifier hangs: what is done about a process that died is then done about it."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Sequence

from models.protocol import Classifier, OnBatch
from models.task import Prediction

_STANDARD_ERROR = 2
# Setting the alarm again costs a thread; a batch may take less than a millisecond.
_SET_AGAIN_PART = 20


class TimedClassifier:
    """A classifier whose process ends when it gets no batch done for ``timeout_seconds``.

    The alarm needs neither a Python thread nor the interpreter's lock, which native code that hangs may hold. Where
    every thread stood is written to standard error.
    """

    def __init__(self, classifier: Classifier, timeout_seconds: float) -> None:
        self._classifier = classifier
        self._timeout_seconds = timeout_seconds
        self._set_at = 0.0

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        def went_on(count: int, tokens: int) -> None:
            if time.monotonic() - self._set_at > self._timeout_seconds / _SET_AGAIN_PART:
                self._set_alarm()
            if on_batch is not None:
                on_batch(count, tokens)

        self._set_alarm()
        try:
            return self._classifier.classify(texts, went_on)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _set_alarm(self) -> None:
        self._set_at = time.monotonic()
        faulthandler.dump_traceback_later(self._timeout_seconds, exit=True, file=_STANDARD_ERROR)
