from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipelines.settings import Settings


def test_every_allowed_engine_may_have_weights_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWORKS_MODELS", '["minilm", "embedding", "static"]')
    monkeypatch.setenv("LABELWORKS_MODEL_WEIGHTS", '{"embedding": "/models/bge", "minilm": "/models/minilm"}')
    settings = Settings()
    assert settings.weights_of("embedding") == "/models/bge"
    assert settings.weights_of("minilm") == "/models/minilm"
    assert settings.weights_of("static") is None


def test_weights_of_an_engine_that_no_job_may_ask_for_are_refused() -> None:
    with pytest.raises(
        ValidationError, match=r"'embeding' is not among the models .* \(minilm, embedding\)"
    ) as refused:
        Settings(models=("minilm", "embedding"), model_weights={"embeding": "/models/bge", "minilm": "/models/minilm"})
    assert refused.value.errors()[0]["loc"] == ("model_weights",)


def test_weights_that_are_nowhere_are_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        Settings(model_weights={"minilm": ""})
