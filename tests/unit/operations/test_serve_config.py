"""serve_app/operations/serve.yaml: Serve itself lets unknown keys pass, so each is looked up here."""

import importlib
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from ray.serve.schema import ServeDeploySchema

from models.registry import engine_names
from pipelines.settings import Settings
from tests.unit.operations.cluster_files import serve_config


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


def test_every_argument_is_a_setting() -> None:
    settings = Settings(**arguments())

    assert set(settings.models) <= set(engine_names())
    with pytest.raises(ValidationError):
        Settings(**arguments(), classifier_slot=4)
