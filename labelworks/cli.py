"""The command line: ``labelworks --help``."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Batch text classification on your own machines.",
)
keys_app = typer.Typer(no_args_is_help=True, help="API keys of the service.")
app.add_typer(keys_app, name="keys")

DataFolder = Annotated[Path, typer.Option("--data", help="The folder in which the embedded stack keeps everything.")]
_DATA = Path(".labelworks")


def main() -> None:
    """The entry point of the ``labelworks`` command."""
    app()


@app.command()
def dev(
    data: DataFolder = _DATA,
    port: Annotated[int | None, typer.Option(help="The API's port; any free one if not given.")] = None,
    s3_port: Annotated[int | None, typer.Option(help="The S3 server's port; any free one if not given.")] = None,
) -> None:
    """Run the whole service on this machine: local Ray, an S3 server and the API. Ctrl-C stops it."""
    _require_server_parts()
    from serve_app.embedded.exceptions import EmbeddedStackError
    from serve_app.embedded.stack import embedded_stack

    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    # Ray prints to standard output, which is kept for the one line that scripts read.
    announcements = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        with embedded_stack(data, http_port=port, s3_port=s3_port) as ready:
            signal.signal(signal.SIGINT, on_signal)
            signal.signal(signal.SIGTERM, on_signal)
            print(f"READY {json.dumps(asdict(ready))}", file=announcements, flush=True)
            while not stop.wait(0.5):
                pass
    except EmbeddedStackError as error:
        _fail(str(error))


@keys_app.command("create")
def create_api_key(account: str, data: DataFolder = _DATA) -> None:
    """Make a new API key for ACCOUNT and print it. It is stored as a hash and cannot be shown again."""
    _require_server_parts()
    from pipelines.exceptions import LabelworksError
    from serve_app.accounts import create_key
    from serve_app.embedded.administration import operator_store
    from serve_app.embedded.exceptions import EmbeddedStackError

    try:
        print(create_key(operator_store(data), account))
    except (EmbeddedStackError, LabelworksError) as error:
        _fail(str(error))


@app.command()
def demo(data: DataFolder = _DATA) -> None:
    """Run a real job on the bundled sample, through the API, as a client would."""
    _require_server_parts()
    from labelworks.demo import DemoError, run_demo

    try:
        run_demo(data)
    except DemoError as error:
        _fail(str(error))


def _require_server_parts() -> None:
    try:
        import boto3
        import fastapi
        import ray
    except ImportError as error:
        _fail(f"{error.name} is not installed: pip install 'labelworks[server,embedded]'")
    del boto3, fastapi, ray


def _fail(reason: str) -> NoReturn:
    print(f"labelworks: {reason}", file=sys.stderr)
    raise typer.Exit(1)
