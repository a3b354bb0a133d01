"""Which service a command talks to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from labelworks.client import Labelworks

ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="LABELWORKS_API_KEY", show_envvar=True, help="Default: that of a local stack."),
]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", envvar="LABELWORKS_BASE_URL", show_envvar=True, help="Default: that of a local stack."),
]

_LOCAL_STACK = Path(".labelworks", "stack.json")


def connect(api_key: str | None, base_url: str | None) -> Labelworks:
    """A client of the service that was named, else of the stack that ``labelworks dev`` runs in this folder."""
    if api_key is None and base_url is None and _LOCAL_STACK.exists():
        stack = json.loads(_LOCAL_STACK.read_text())
        return Labelworks(api_key=stack["api_key"], base_url=f"http://127.0.0.1:{stack['http_port']}")
    return Labelworks(api_key=api_key, base_url=base_url)
