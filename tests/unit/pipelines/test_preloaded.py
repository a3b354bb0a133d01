"""What a process loads when it starts, by what it was started for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_LOADED = """
import json, sys
import pipelines.preloaded
loaded = [name for name in ("pipelines.dataset", "openvino", "models.engines.minilm") if name in sys.modules]
if loaded:
    from pipelines.engines import code_of_lines
    from models.fingerprint import installed_code
    assert code_of_lines.cache_info().currsize == installed_code.cache_info().currsize == 1
print(json.dumps(loaded))
"""


def loaded(job_id: str, path: str = "") -> list[str]:
    """What a process that Ray starts for this job has loaded before it is given anything to do."""
    environment = {**os.environ, "RAY_JOB_ID": job_id, "PYTHONPATH": path}
    run = subprocess.run([sys.executable, "-c", _LOADED], env=environment, capture_output=True, text=True, check=True)
    names: list[str] = json.loads(run.stdout)
    return names


def test_a_process_that_waits_for_an_actor_has_what_a_classifier_needs_and_knows_its_version() -> None:
    assert loaded("ffffffff") == ["pipelines.dataset", "openvino", "models.engines.minilm"]


@pytest.mark.parametrize("job_id", ["01000000", ""])
def test_a_process_that_is_started_for_a_job_loads_nothing_ahead(job_id: str) -> None:
    assert loaded(job_id) == []


def test_a_library_that_cannot_be_loaded_does_not_end_the_process(tmp_path: Path) -> None:
    (tmp_path / "openvino.py").write_text("raise RuntimeError('an instruction that this CPU lacks')")

    assert loaded("ffffffff", str(tmp_path)) == ["pipelines.dataset"]
