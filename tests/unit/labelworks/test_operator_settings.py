"""Settings that are not valid, in every command that reads them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("command", "weights", "said"),
    [
        ("dev", '{"none": "/models"}', "LABELWORKS_MODEL_WEIGHTS is not valid: 'none' is not among"),
        ("doctor", '{"minilm": 7}', "LABELWORKS_MODEL_WEIGHTS of minilm is not valid: Input should be a valid string"),
        ("validate in.ndjson", "/models/minilm", 'parsing value for field "model_weights"'),
        ("keys create acme", "/models/minilm", "are written in JSON"),
    ],
)
def test_it_is_named_in_one_line(command: str, weights: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "in.ndjson").write_bytes(b'{"text":"one two"}\n')
    told = {"LABELWORKS_MODEL_WEIGHTS": weights, "LABELWORKS_S3_ENDPOINT": "http://127.0.0.1:9"}

    found = subprocess.run(
        [sys.executable, "-m", "labelworks", *command.split()],
        cwd=tmp_path,
        env=os.environ | told,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert found.returncode == 1, found.stderr
    (line,) = found.stderr.splitlines()
    assert line.startswith("labelworks: ")
    assert said in line
