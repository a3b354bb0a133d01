"""Weights of an engine that is allowed but not the default."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.engines.static import EMBEDDING, TOKENIZER, WEIGHTS
from models.exceptions import ModelUnavailable
from models.task import ClassificationTask
from models.weights import locate
from pipelines.engines import engine_for, fingerprint_for, token_counter_for
from pipelines.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, path in locate(WEIGHTS, None).items():
        shutil.copy(path, tmp_path / name)
    return tmp_path


def with_weights(folder: Path) -> Settings:
    return Settings(models=("minilm", "static"), model_weights={"static": str(folder)})


def test_they_are_read_from_their_folder(folder: Path) -> None:
    settings = with_weights(folder)
    task = ClassificationTask(("sport", "business"))
    ours = engine_for(settings, "static", threads=1).bind(task).classify(["The match was won"])
    assert ours == engine_for(Settings(), "static", threads=1).bind(task).classify(["The match was won"])
    (folder / EMBEDDING).unlink()
    with pytest.raises(ModelUnavailable, match=f"{folder} lacks {EMBEDDING} of wordllama"):
        engine_for(settings, "static", threads=1)
    assert token_counter_for(settings, "static").count(["The match was won"]) == [4]


def test_a_token_counter_is_read_from_there_too(folder: Path) -> None:
    (folder / TOKENIZER).unlink()
    with pytest.raises(ModelUnavailable, match=f"{folder} lacks {TOKENIZER}"):
        token_counter_for(with_weights(folder), "static")


def test_they_change_the_fingerprint_of_that_engine_alone(folder: Path) -> None:
    settings = with_weights(folder)
    assert fingerprint_for(settings, "static", "") != fingerprint_for(Settings(), "static", "")
    assert fingerprint_for(settings, "minilm", "") == fingerprint_for(Settings(), "minilm", "")
