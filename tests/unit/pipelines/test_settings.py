from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import SecretStr, ValidationError

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


def test_an_admin_key_that_is_too_short_is_refused_in_characters_and_not_shown() -> None:
    with pytest.raises(ValidationError, match="at least 32 characters, not 5") as refused:
        Settings(admin_key=SecretStr("short"))
    assert "short" not in str(refused.value.errors()[0]["msg"])
    assert Settings(admin_key=SecretStr("k" * 32)).admin_key is not None


def test_weights_that_are_nowhere_are_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        Settings(model_weights={"minilm": ""})


@pytest.mark.parametrize("name", ["gpt", "", "no.such.engine", "models.no_such_engine", ".minilm", "models"])
def test_engines_that_do_not_exist_are_refused_where_the_settings_are_read(name: str) -> None:
    with pytest.raises(ValidationError, match=r"engine '.*'") as refused:
        Settings(models=("minilm", name))
    assert refused.value.errors()[0]["loc"] == ("models",)


def test_an_engine_of_the_operators_is_named_by_its_module() -> None:
    assert Settings(models=("tests.chaos.deadly_engine",)).default_model == "tests.chaos.deadly_engine"


def test_whoever_reads_the_settings_does_not_wait_for_numpy() -> None:
    read = "import sys; from pipelines.settings import Settings; Settings(); print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True).stdout == "False\n"
