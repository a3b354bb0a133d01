from __future__ import annotations

import json
import subprocess
import sys

import torch


def test_it_runs_without_a_gpu_and_says_so() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--texts", "40,80", "--shape", "tiny"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()
    figures = json.loads(printed[-1])
    if not torch.cuda.is_available():
        assert printed[0].startswith("There is no GPU here.")
        assert figures["device"] == "cpu"
    assert [size["texts"] for size in figures["sizes"]] == [40, 80]
    assert all(size["tokens_per_second"] > 0 and 0 <= size["waiting"] < 1 for size in figures["sizes"])
