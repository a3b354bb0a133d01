"""How commands speak: results on standard output, everything else on standard error, and exit codes for scripts.

0: done. 1: an error. 2: wrong usage. 3: a job did not complete, or a file has bad lines. 130: Ctrl-C.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from labelworks.errors import APIStatusError, BatchFailedError, BatchNotStartedError, LabelworksError

EXIT_CODES = "Exit codes: 0 done, 1 error, 2 wrong usage, 3 a job did not complete or lines are bad, 130 Ctrl-C."
EXIT_ERROR = 1
EXIT_INCOMPLETE = 3
EXIT_INTERRUPTED = 130

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

# Emoji too are markup to rich: ":key:" in a name.
console = Console(stderr=True, highlight=False, emoji=False)


@contextmanager
def reported(as_json: bool = False) -> Iterator[None]:
    """Turn the client's errors and Ctrl-C into one line and an exit code."""
    try:
        yield
    except (BatchFailedError, BatchNotStartedError) as error:
        _report(error, as_json)
        raise typer.Exit(EXIT_INCOMPLETE) from error
    except (LabelworksError, OSError) as error:
        _report(error, as_json)
        raise typer.Exit(EXIT_ERROR) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(EXIT_INTERRUPTED) from error


def fail(reason: str) -> NoReturn:
    """End the command with one line that says why."""
    print(f"labelworks: {reason}", file=sys.stderr)
    raise typer.Exit(EXIT_ERROR)


def say(message: str) -> None:
    """Tell the person something that is no result."""
    console.print(message, markup=False, soft_wrap=True)


def print_table(table: Table, *, markup: bool = False) -> None:
    """Print a table; without ``markup`` every cell as it is, whatever brackets a name holds."""
    Console(markup=markup, emoji=False, highlight=False).print(table)


def local_time(moment: datetime, *, seconds: bool = False) -> str:
    """A moment by this machine's clock, or in UTC where that clock does not reach it."""
    shape = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    try:
        return f"{moment.astimezone():{shape}}"
    except OverflowError:
        return f"{moment:{shape}} UTC"


def print_json(value: Any) -> None:
    """Print a value of the client, or a list of them, as JSON."""
    print(json.dumps(value, default=_jsonable, ensure_ascii=False))


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _report(error: Exception, as_json: bool) -> None:
    if as_json:
        described: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
        if isinstance(error, APIStatusError):
            described = {
                "type": type(error).__name__,
                "message": error.message,
                "status": error.status,
                "code": error.code,
                "details": error.details,
                "request_id": error.request_id,
            }
        print_json({"error": described})
    else:
        print(f"labelworks: {error}", file=sys.stderr)
