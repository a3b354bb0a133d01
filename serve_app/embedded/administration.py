"""The operator's access to the storage, of the embedded stack or of the deployment that the environment names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.embedded.exceptions import EmbeddedStackError
from serve_app.embedded.state import is_running, ray_address, read_state

_RETRY_SECONDS = 5.0


def operator_settings(folder: Path) -> Settings:
    """The environment's settings where they name a storage, else those of the stack running in ``folder``.

    Raises EmbeddedStackError where neither is there.
    """
    if not any(name in os.environ for name in ("LABELWORKS_S3_ENDPOINT", "LABELWORKS_S3_BUCKET")):
        state = read_state(folder)
        if not is_running(folder):
            raise EmbeddedStackError(f"The stack in {folder} does not run: start it with 'labelworks dev'")
        return Settings(**state.settings())
    return Settings()


def deployed_settings(config: Path) -> Settings:
    """Those that a Serve config file builds its application with, which come before the environment's.

    Raises EmbeddedStackError for a file that is none.
    """
    try:
        applications: list[dict[str, Any]] = yaml.safe_load(config.read_text())["applications"]
        arguments: dict[str, Any] = applications[0].get("args") or {}
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise EmbeddedStackError(f"{config} is no Serve config file with an application: {error}") from error
    return Settings(**arguments)


def operator_ray_address(folder: Path) -> str:
    """The Ray that RAY_ADDRESS names, else that of the stack in ``folder``, else the one that runs on this machine."""
    return os.environ.get("RAY_ADDRESS") or ray_address(folder) or "auto"


def operator_store(folder: Path) -> ObjectStore:
    """The bucket of ``operator_settings``."""
    return ObjectStore(operator_settings(folder), retry_seconds=_RETRY_SECONDS)
