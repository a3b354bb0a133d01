from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.random_models import save_random_model
from models.registry import load_engine
from models.task import ClassificationTask


def test_it_runs_without_a_gpu_and_says_so() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--texts", "40,80", "--shape", "tiny"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()
    figures = json.loads(printed[-1])
    if not torch.cuda.is_available():
        assert printed[0].startswith("There is no GPU here.")
        assert figures["device"] == "cpu"
    assert [size["texts"] for size in figures["sizes"]] == [40, 80]
    assert all(size["tokens_per_second"] > 0 and 0 <= size["waiting"] < 1 for size in figures["sizes"])
    assert all(speed > 0 for speed in figures["fed"].values())


@pytest.mark.parametrize("engine", ["nli", "gliclass"])
def test_engines_that_read_labels_run_random_weights_too(engine: str, tmp_path: Path) -> None:
    save_random_model(tmp_path, engine, "tiny")
    answers = load_engine(engine, weights=str(tmp_path)).bind(ClassificationTask(("a", "b"))).classify(["some text"])
    assert [answer.tokens for answer in answers] == [2]
