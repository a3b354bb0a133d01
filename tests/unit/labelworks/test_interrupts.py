"""Ctrl-C, as somebody at a terminal presses it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.labelworks.fake_service import API_KEY, FakeService

SECONDS = 30.0
QUESTION = "w: go on watching"


class Terminal:
    """``labelworks classify`` of a small file, with a terminal of its own."""

    def __init__(self, service: FakeService, folder: Path) -> None:
        (folder / "in.ndjson").write_bytes(b'{"text":"one two"}\n')
        self._terminal, inner = pty.openpty()
        self._command = subprocess.Popen(
            [sys.executable, "-m", "labelworks", "classify", "in.ndjson", "--labels", "a", "--out", "out.ndjson"],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            cwd=folder,
            start_new_session=True,
            # What runs in the background of a shell hands down that it ignores Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            env=os.environ
            | {"LABELWORKS_API_KEY": API_KEY, "LABELWORKS_BASE_URL": service.url, "COLUMNS": "200", "TERM": "xterm"},
        )
        os.close(inner)
        self.shown = ""

    def press_ctrl_c(self) -> None:
        self._command.send_signal(signal.SIGINT)

    def type(self, line: str) -> None:
        os.write(self._terminal, line.encode() + b"\n")

    def read_until(self, wanted: str) -> None:
        """What is shown later than what was read before."""
        read_before = len(self.shown)
        deadline = time.monotonic() + SECONDS
        while wanted not in self.shown[read_before:]:
            assert time.monotonic() < deadline, self.shown
            assert self._read(), self.shown

    def exit_code(self) -> int:
        with suppress(OSError):
            while self._read():
                pass
        return self._command.wait(SECONDS)

    def _read(self) -> bool:
        if select.select([self._terminal], [], [], SECONDS)[0]:
            piece = os.read(self._terminal, 65536)
            self.shown += piece.decode()
            return bool(piece)
        return False

    def close(self) -> None:
        self._command.kill()
        self._command.wait()
        os.close(self._terminal)


@pytest.fixture
def terminal(service: FakeService, tmp_path: Path) -> Iterator[Terminal]:
    service.end = "processing"
    terminal = Terminal(service, tmp_path)
    yield terminal
    terminal.close()


def interrupted(terminal: Terminal) -> None:
    terminal.read_until("queued")
    terminal.press_ctrl_c()
    terminal.read_until(QUESTION)


def test_ctrl_c_and_c_cancel_the_job(terminal: Terminal, service: FakeService) -> None:
    interrupted(terminal)
    terminal.type("c")
    assert terminal.exit_code() == 3
    assert [(job.status, job.error) for job in service.jobs.values()] == [("failed", "cancelled")]


@pytest.mark.parametrize("again", [False, True])
def test_ctrl_c_and_d_or_ctrl_c_again_leave_it_running(terminal: Terminal, service: FakeService, again: bool) -> None:
    interrupted(terminal)
    terminal.press_ctrl_c() if again else terminal.type("d")
    assert terminal.exit_code() == 130
    (job,) = service.jobs.values()
    assert job.status == "processing"
    assert f"labelworks results {job.job_id} --out out.ndjson" in terminal.shown


def test_ctrl_c_and_w_go_on_to_the_results(terminal: Terminal, service: FakeService, tmp_path: Path) -> None:
    interrupted(terminal)
    service.end = "completed"
    terminal.type("w")
    assert terminal.exit_code() == 0, terminal.shown
    assert (tmp_path / "out.ndjson").read_bytes().count(b"\n") == 1


def test_a_job_that_completed_before_it_was_cancelled_gives_its_results(
    terminal: Terminal, service: FakeService, tmp_path: Path
) -> None:
    interrupted(terminal)
    service.end = "completed"
    (job,) = service.jobs.values()
    service.finish(job)
    terminal.type("c")
    assert terminal.exit_code() == 0, terminal.shown
    assert "Not cancelled" in terminal.shown
    assert (tmp_path / "out.ndjson").exists()


def test_ctrl_c_during_the_upload_removes_the_job(service: FakeService, tmp_path: Path) -> None:
    service.storage_answers.clear()
    terminal = Terminal(service, tmp_path)
    try:
        assert service.upload_began.wait(SECONDS)
        terminal.press_ctrl_c()
        terminal.read_until("is removed")
        assert terminal.exit_code() == 130
        assert not service.jobs
    finally:
        service.storage_answers.set()
        terminal.close()
