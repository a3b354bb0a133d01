"""A process whose engine hangs is killed, and is then one that died like any other. If ``bind`` hangs, the job fails:
the next process would hang too.
"""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from threading import Thread

from models.exceptions import ModelError
from models.protocol import Classifier, Engine, OnBatch
from models.task import ClassificationTask, Prediction

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
        _end_process_in(self._timeout_seconds)


@contextmanager
def ends_process_after(timeout_seconds: float) -> Iterator[None]:
    """Ends the process where the block takes longer, also where native code hangs."""
    _end_process_in(timeout_seconds)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _end_process_in(seconds: float) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True, file=_STANDARD_ERROR)


def bind_in_time(engine: Engine, task: ClassificationTask, timeout_seconds: float) -> Classifier:
    """The engine bound to the task. Raises ModelError where that takes longer; else as the engine does.

    What takes too long goes on in a thread of its own, which only the end of the process ends; where it stands is
    written to standard error.
    """
    bound: Future[Classifier] = Future()

    def bind() -> None:
        try:
            bound.set_result(engine.bind(task))
        except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
            bound.set_exception(error)

    Thread(target=bind, name="bind", daemon=True).start()
    if not wait([bound], timeout_seconds).done:
        faulthandler.dump_traceback(_STANDARD_ERROR)
        raise ModelError(
            f"it was not ready for the job's labels, descriptions and examples within {timeout_seconds:g} s. Start the"
            " job again, or create another with fewer or shorter ones."
        )
    return bound.result()
