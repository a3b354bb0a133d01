"""Ending a process whose classifier hangs."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
