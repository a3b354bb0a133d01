"""What `labelworks doctor` says of an engine for GPUs on a machine whose GPU cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.settings import Settings
from serve_app.doctor.models import examine_engine

_ENGINE = """
from models.protocol import EngineInfo

USES_GPU = True

class Engine:
    info = EngineInfo("mine", "cpu")
    def bind(self, task):
        return self
    def classify(self, texts):
        return list(texts)

def load(threads, weights):
    return Engine()
"""
MODEL = "examined_engines.mine"


@pytest.fixture(autouse=True)
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "examined_engines").mkdir()
    (tmp_path / "examined_engines" / "mine.py").write_text(_ENGINE)


def test_it_is_a_problem_where_jobs_are_given_gpus() -> None:
    finding = examine_engine(Settings(models=(MODEL,), classifier_gpus=1), MODEL, "on a node", for_jobs=True)
    assert not finding.ok
    assert "on a node: this node offers a GPU that torch cannot use" in finding.found


@pytest.mark.parametrize(("gpus", "for_jobs"), [(1, False), (0, True)])
def test_it_is_none_for_previews_or_where_jobs_run_on_cpus(gpus: int, for_jobs: bool) -> None:
    finding = examine_engine(Settings(models=(MODEL,), classifier_gpus=gpus), MODEL, "here", for_jobs=for_jobs)
    assert finding.ok, finding.found
