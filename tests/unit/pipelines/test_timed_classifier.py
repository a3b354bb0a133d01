"""Ending a process whose classifier hangs."""

from __future__ import annotations

import subprocess
import sys
from threading import Event
from typing import cast

import pytest

from models.exceptions import ModelError, UnknownEngine
from models.protocol import Classifier, EngineInfo
from models.task import ClassificationTask
from pipelines.timed_classifier import bind_in_time

_PROGRAM = """
import ctypes, time
from pipelines.timed_classifier import TimedClassifier

class Classifier:
    def classify(self, texts, on_batch=None):
        for text in texts:
            if text == "sleeps":
                time.sleep(3600)
            if text == "hangs in native code":
                # Called without giving the interpreter's lock up.
                ctypes.PyDLL(None).pause()
            time.sleep(0.3)
            on_batch(1, 1)
        return list(texts)

timed = TimedClassifier(Classifier(), timeout_seconds=1.0)
assert timed.classify(["fine"] * 6) == ["fine"] * 6
time.sleep(1.5)
heard = []
timed.classify(["fine"] * 2, lambda count, tokens: heard.append(count))
assert heard == [1, 1]
print("all is well", flush=True)
timed.classify(["fine", {text!r}])
print("it has answered", flush=True)
"""


@pytest.mark.parametrize("text", ["sleeps", "hangs in native code"])
def test_a_process_ends_when_its_classifier_hangs_and_not_while_it_goes_on_or_has_nothing_to_do(text: str) -> None:
    program = _PROGRAM.replace("{text!r}", repr(text))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == "all is well\n"
    assert "in classify" in ended.stderr


def test_a_classifier_that_does_not_hang_answers() -> None:
    program = _PROGRAM.replace("{text!r}", repr("fine"))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "all is well\nit has answered\n"), ended.stderr


_LOADING = """
import ctypes, time
from pipelines.timed_classifier import ends_process_after

with ends_process_after(1.0):
    pass
time.sleep(1.5)
print("loaded", flush=True)

def load():
    # Called without giving the interpreter's lock up.
    ctypes.PyDLL(None).pause()

with ends_process_after(1.0):
    load()
"""


def test_a_process_ends_when_what_it_loads_hangs_and_not_once_that_is_loaded() -> None:
    ended = subprocess.run([sys.executable, "-c", _LOADING], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "loaded\n"), ended.stderr
    assert "in load" in ended.stderr


class _Engine:
    """Binds once it is told to."""

    info = EngineInfo("slow", "cpu")

    def __init__(self) -> None:
        self.told = Event()

    def bind(self, task: ClassificationTask) -> Classifier:
        if len(task.labels) > 1:
            raise UnknownEngine("slow", ())
        self.told.wait()
        return cast(Classifier, task)


TASK = ClassificationTask(("a",))


def test_an_engine_that_is_not_bound_in_time_is_an_error_that_says_what_to_do() -> None:
    engine = _Engine()
    with pytest.raises(ModelError, match=r"descriptions and examples within 0\.1 s\. Start the job again, or create"):
        bind_in_time(engine, TASK, 0.1)
    engine.told.set()
    assert bind_in_time(engine, TASK, 60) is TASK


def test_what_an_engine_raises_while_it_is_bound_is_raised() -> None:
    with pytest.raises(UnknownEngine):
        bind_in_time(_Engine(), ClassificationTask(("a", "b")), 60)
