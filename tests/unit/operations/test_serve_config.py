"""serve_app/operations/serve.yaml: Serve itself lets unknown keys pass, so each is looked up here."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from ray.serve.schema import ServeDeploySchema

from models.registry import engine_names
from models.weights import HubName
from pipelines.settings import Settings
from serve_app.api import build_app
from serve_app.dependencies import Services
from serve_app.deployment import build
from serve_app.embedded.administration import deployed_settings
from serve_app.embedded.exceptions import EmbeddedStackError
from serve_app.placement import HEAD_RESOURCES
from serve_app.preview_deployment import preview_deployment
from tests.unit.operations.cluster_files import OPERATIONS, serve_config


def unknown_keys(schema: type[BaseModel], given: dict[str, Any]) -> list[str]:
    """Keys of ``given`` that are no fields of ``schema``, however deep."""
    parsed = schema.model_validate(given)
    unknown = [key for key in given if key not in schema.model_fields]
    for key, value in given.items():
        inner = getattr(parsed, key, None)
        pairs = zip(inner, value, strict=True) if isinstance(inner, list) else [(inner, value)]
        for model, raw in pairs:
            if isinstance(model, BaseModel):
                unknown += [f"{key}.{name}" for name in unknown_keys(type(model), raw)]
    return unknown


def arguments() -> dict[str, Any]:
    given: dict[str, Any] = serve_config()["applications"][0]["args"]
    return given


def test_serve_knows_every_key() -> None:
    assert unknown_keys(ServeDeploySchema, serve_config()) == []


def test_a_misspelt_key_would_be_found() -> None:
    config = serve_config()
    config["http_options"]["prot"] = 8000

    assert unknown_keys(ServeDeploySchema, config) == ["http_options.prot"]


def test_the_application_is_one_that_can_be_imported() -> None:
    module, _, name = serve_config()["applications"][0]["import_path"].partition(":")

    assert callable(getattr(importlib.import_module(module), name))


def test_the_doctor_reads_the_settings_that_the_application_is_built_with(tmp_path: Path) -> None:
    assert deployed_settings(OPERATIONS / "serve.yaml") == Settings(**arguments())

    for text in ("applications: []", "- 1", "{", "applications: [7]"):
        (tmp_path / "other.yaml").write_text(text)
        with pytest.raises(EmbeddedStackError, match=r"other\.yaml is no Serve config file"):
            deployed_settings(tmp_path / "other.yaml")


def test_what_answers_calls_stays_on_the_head_unless_it_needs_a_gpu() -> None:
    api = build(arguments())._bound_deployment

    assert api.ray_actor_options["resources"] == HEAD_RESOURCES
    assert preview_deployment(Settings()).ray_actor_options["resources"] == HEAD_RESOURCES
    assert "resources" not in preview_deployment(Settings(preview_gpus=1)).ray_actor_options


def test_the_admin_key_of_the_environment_is_told_to_the_api_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWORKS_ADMIN_KEY", "a" * 32)
    (preview,) = build(arguments())._bound_deployment.init_args
    services: Services = build_app(Settings(**arguments())).state.services

    assert services.settings.admin_key is not None
    assert services.registry._settings.admin_key is None
    assert preview._bound_deployment.init_args == (services.settings.without_admin_key,)


def test_weights_of_the_hub_are_pinned_to_a_commit() -> None:
    for source in Settings(**arguments()).model_weights.values():
        named = HubName.parse(source)
        assert named is not None
        assert re.fullmatch("[0-9a-f]{40}", named.revision or "")


def test_every_argument_is_a_setting() -> None:
    settings = Settings(**arguments())

    assert set(settings.models) <= set(engine_names())
    with pytest.raises(ValidationError):
        Settings(**arguments(), classifier_slot=4)
