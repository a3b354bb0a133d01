"""What the embedded stack keeps in its folder, for its next run and for commands beside it: without Ray, which takes
seconds to import.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serve_app.embedded.exceptions import EmbeddedStackError


@dataclass(frozen=True, slots=True)
class StackState:
    """What the stack keeps between runs, readable by its owner alone."""

    http_port: int
    s3_port: int
    s3_access_key: str
    s3_secret_key: str
    account: str
    api_key: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def settings(self) -> dict[str, Any]:
        """The values of Settings that point it at this stack."""
        return {
            "s3_endpoint": f"http://127.0.0.1:{self.s3_port}",
            "s3_access_key": self.s3_access_key,
            "s3_secret_key": self.s3_secret_key,
            # One classifier uses all of a small machine's cores; more of them would only share these.
            "classifiers_per_job": os.environ.get("LABELWORKS_CLASSIFIERS_PER_JOB", "1"),
            # Most jobs are over by then, and their driver takes the next one.
            "spare_delay_seconds": os.environ.get("LABELWORKS_SPARE_DELAY_SECONDS", "60"),
        }

    def settings_environment(self) -> dict[str, str]:
        """The same as environment variables, which processes started from here inherit."""
        return {f"LABELWORKS_{name.upper()}": value for name, value in self.settings().items()}


def read_state(folder: Path) -> StackState:
    """The state of the stack that was last run in ``folder``. Raises EmbeddedStackError where there is none."""
    state = find_state(folder)
    if state is None:
        raise EmbeddedStackError(f"No stack was ever run in {folder}: start one with 'labelworks dev'")
    return state


def find_state(folder: Path) -> StackState | None:
    """The same, or None where none was ever run there. Raises EmbeddedStackError where what it kept is damaged."""
    file = _state_file(folder)
    try:
        return StackState(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise EmbeddedStackError(f"{file} is damaged: remove it, and a new one is made") from error


def write_state(folder: Path, state: StackState) -> None:
    """Keep it for the next run, and for who asks what runs here."""
    # Replaced whole, so that a kill in between leaves the old one.
    file = _state_file(folder)
    written = file.with_name(f"{file.name}.new")
    written.touch(mode=0o600)
    written.write_text(json.dumps(asdict(state), indent=1))
    written.replace(file)


def _state_file(folder: Path) -> Path:
    # The command line reads it too, also where only the client is installed: labelworks/commands/connection.py.
    return folder / "stack.json"


def ray_address(folder: Path) -> str | None:
    """Where the stack that runs in ``folder`` has its Ray, or None where none does."""
    file = ray_address_file(folder)
    return file.read_text() if file.exists() else None


def ray_address_file(folder: Path) -> Path:
    """Holds the address of the stack's Ray while it runs; a stack that is killed leaves it behind."""
    return folder / "ray-address"


def is_running(folder: Path) -> bool:
    """Whether a stack runs in ``folder`` now."""
    try:
        with locked(folder):
            return False
    except (EmbeddedStackError, FileNotFoundError) as error:
        return isinstance(error, EmbeddedStackError)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder's one running stack. Raises EmbeddedStackError where another one runs there."""
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EmbeddedStackError(
                f"A stack already runs in {folder}: stop it, or use --data with another"
            ) from error
        yield
