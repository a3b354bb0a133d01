"""Which service a command talks to."""

from __future__ import annotations

import json
from dataclasses import dataclass
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

LOCAL_DATA = Path(".labelworks")


@dataclass(frozen=True, slots=True)
class LocalStack:
    """Where the stack of a folder is, and a key for it."""

    url: str
    api_key: str


def local_stack(data: Path) -> LocalStack | None:
    """The stack that ``labelworks dev`` runs, or ran last, with this data folder."""
    path = data / "stack.json"
    if not path.exists():
        return None
    stack = json.loads(path.read_text())
    return LocalStack(f"http://127.0.0.1:{stack['http_port']}", stack["api_key"])


def connect(api_key: str | None, base_url: str | None) -> Labelworks:
    """A client of the service that was named, else of the stack that ``labelworks dev`` runs in this folder."""
    stack = local_stack(LOCAL_DATA)
    if api_key is None and base_url is None and stack is not None:
        return Labelworks(api_key=stack.api_key, base_url=stack.url)
    return Labelworks(api_key=api_key, base_url=base_url)
