"""Which service a command talks to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from labelworks.client import Labelworks
from labelworks.errors import ConfigurationError

ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="LABELWORKS_API_KEY",
        show_envvar=True,
        help="Default: that of a local stack. As an option it is visible in the list of processes.",
    ),
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
    """The stack that ``labelworks dev`` runs, or ran last, with this data folder. Raises ConfigurationError."""
    path = data / "stack.json"
    if not path.exists():
        return None
    try:
        stack = json.loads(path.read_text())
        return LocalStack(f"http://127.0.0.1:{stack['http_port']}", stack["api_key"])
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"{path} is damaged: remove it, and 'labelworks dev' makes a new one; or name a service with --base-url and"
            " --api-key"
        ) from error


def connect(api_key: str | None, base_url: str | None) -> Labelworks:
    """A client of the service that was named; what was not is that of the stack that ``labelworks dev`` runs here.

    The stack's key is sent to no other address. Raises ConfigurationError where something is missing.
    """
    stack = None if api_key and base_url else local_stack(LOCAL_DATA)
    url = base_url or (stack.url if stack else None)
    key = api_key or (stack.api_key if stack and url and url.rstrip("/") == stack.url else None)
    if not url:
        raise ConfigurationError(
            "No address of the service: give --base-url or set LABELWORKS_BASE_URL, or call this in the folder in which"
            " 'labelworks dev' runs"
        )
    if not key:
        raise ConfigurationError(f"No API key for {url}: give --api-key or set LABELWORKS_API_KEY")
    return Labelworks(api_key=key, base_url=url)
