"""``dev``, ``env`` and ``demo``: the service on this machine."""

from __future__ import annotations

import json
import os
import shlex
import signal
import threading
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from labelworks.commands.connection import LOCAL_DATA, local_stack
from labelworks.commands.console import fail, reported
from labelworks.commands.operator_settings import settings_checked

DataFolder = Annotated[Path, typer.Option("--data", help="The folder in which the embedded stack keeps everything.")]


def dev(
    data: DataFolder = LOCAL_DATA,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The API's port; any free one if not given.")
    ] = None,
    s3_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The S3 server's port; any free one if not given.")
    ] = None,
) -> None:
    """Run the whole service on this machine: local Ray, an S3 server and the API. Ctrl-C stops it."""
    require_server_parts()
    from serve_app.embedded.exceptions import EmbeddedStackError
    from serve_app.embedded.stack import embedded_stack

    stop, ready_to_stop = threading.Event(), threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        if not ready_to_stop.is_set():
            raise KeyboardInterrupt

    def listen() -> None:
        signal.signal(signal.SIGINT, on_signal)
        signal.signal(signal.SIGTERM, on_signal)

    listen()
    # Ray prints to standard output, which is kept for the one line that scripts read.
    announcements = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        with settings_checked(), embedded_stack(data, http_port=port, s3_port=s3_port) as ready:
            ready_to_stop.set()
            # Ray has put a handler of its own in place, which aborts.
            listen()
            print(f"READY {json.dumps(asdict(ready))}", file=announcements, flush=True)
            while not stop.wait(0.5):
                pass
    except KeyboardInterrupt:
        fail("stopped before it was ready")
    except EmbeddedStackError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or data}: {error.strerror or error}")


def create_stored_key(account: str, data: Path) -> str:
    """Make a key straight in the storage, as the operator, and return it. Ends the command where that fails."""
    require_server_parts()
    from pipelines.exceptions import LabelworksError
    from serve_app.accounts import create_key
    from serve_app.embedded.administration import operator_store
    from serve_app.embedded.exceptions import EmbeddedStackError

    try:
        with settings_checked():
            return create_key(operator_store(data), account)
    except (EmbeddedStackError, LabelworksError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or data}: {error.strerror or error}")


def env(data: DataFolder = LOCAL_DATA) -> None:
    """Print the address and the key of the stack on this machine, for: eval "$(labelworks env)"."""
    with reported():
        stack = local_stack(data)
    if stack is None:
        fail(f"there is no stack in {data}: start one with 'labelworks dev'")
    print(f"export LABELWORKS_BASE_URL={shlex.quote(stack.url)}")
    print(f"export LABELWORKS_API_KEY={shlex.quote(stack.api_key)}")


def demo(data: DataFolder = LOCAL_DATA) -> None:
    """Run a real job on the bundled sample, through the API, as a client would."""
    require_server_parts()
    from labelworks.demo import DemoError, run_demo

    try:
        run_demo(data)
    except DemoError as error:
        fail(str(error))


def require_server_parts() -> None:
    """End the command with a hint where only the client is installed."""
    # Not imported: Ray alone takes a second.
    missing = next((name for name in ("boto3", "fastapi", "ray") if find_spec(name) is None), None)
    if missing:
        fail(f"{missing} is not installed: pip install 'labelworks[server,embedded]'")
