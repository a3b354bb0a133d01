"""The files that describe a cluster, read as their consumers read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
OPERATIONS = ROOT / "serve_app" / "operations"


def read_yaml(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return read


def cluster() -> dict[str, Any]:
    return read_yaml(ROOT / "cluster.yaml")


def serve_config() -> dict[str, Any]:
    return read_yaml(OPERATIONS / "serve.yaml")


def policy(name: str) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = json.loads((OPERATIONS / f"{name}-policy.json").read_text())["Statement"]
    return statements
