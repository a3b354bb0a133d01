"""Showing how far a job is: a bar in a terminal, one updated line in a notebook, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from labelworks.types import Batch

_PLAIN_LINE_SECONDS = 5.0
_TRANSFER_SECONDS = 0.2
_BAR_CHARACTERS = 30


@dataclass(frozen=True, slots=True)
class Progress:
    """One state of a transfer or a job. ``total`` is None while it is not known; ``rate`` is units a second."""

    stage: str
    done: int
    total: int | None
    unit: Literal["bytes", "rows"]
    rate: float | None = None
    eta_seconds: float | None = None

    @property
    def fraction(self) -> float:
        """The share that is done, 0-1."""
        return min(self.done / self.total, 1.0) if self.total else 0.0

    def amounts(self) -> str:
        """What is done of how much, for people: ``1,200 / 5,000 rows``."""
        if self.unit == "bytes":
            done, total = megabytes(self.done), None if self.total is None else megabytes(self.total)
            return f"{done} / {total}" if total else done
        return f"{self.done:,} / {self.total:,} rows" if self.total else "counting rows"

    def pace(self) -> str:
        """The rate and the time that is left, or an empty string while neither is known."""
        parts = []
        if self.rate:
            parts.append(f"{self.rate:,.0f} rows/s" if self.unit == "rows" else f"{megabytes(int(self.rate))}/s")
        if self.eta_seconds is not None:
            parts.append(f"{duration(self.eta_seconds)} left")
        return ", ".join(parts)

    @classmethod
    def of(cls, batch: Batch) -> Progress:
        """How far a job is."""
        return cls(
            stage=batch.phase or ("queued" if batch.status == "processing" else batch.status),
            done=batch.requests_completed + batch.requests_failed,
            total=batch.requests_total or None,
            unit="rows",
            rate=batch.rows_per_second,
            eta_seconds=batch.eta_seconds,
        )


ProgressCallback = Callable[[Progress], None]


class Transfer:
    """The progress of an upload or a download, told a few times a second at most."""

    def __init__(self, stage: str, on_progress: ProgressCallback | None, *, done: int = 0) -> None:
        self._stage = stage
        self._on_progress = on_progress
        self._first = done
        self._began = self._told = time.monotonic()

    def reached(self, done: int, total: int | None) -> None:
        """So many bytes are done."""
        now = time.monotonic()
        if self._on_progress is None or now - self._told < _TRANSFER_SECONDS:
            return
        self._told = now
        rate = (done - self._first) / (now - self._began)
        left = (total - done) / rate if total is not None and rate > 0 else None
        self._on_progress(Progress(self._stage, done, total, "bytes", rate, left))

    def ended(self, done: int) -> None:
        """All bytes are done."""
        if self._on_progress is not None:
            rate = (done - self._first) / max(time.monotonic() - self._began, 1e-6)
            self._on_progress(Progress(self._stage, done, done, "bytes", rate))


class CountedReads:
    """A binary file whose reads are told as the progress of an upload. ``size`` is the file's, in bytes."""

    def __init__(self, file: IO[bytes], size: int, on_progress: ProgressCallback | None) -> None:
        self._file = file
        self._size = size
        self._on_progress = on_progress
        self._transfer = Transfer("upload", on_progress)

    def read(self, count: int = -1, /) -> bytes:
        """As of the file."""
        data = self._file.read(count)
        position = self._file.tell()
        if position < self._size:
            self._transfer.reached(position, self._size)
        elif data:
            self._transfer.ended(position)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As of the file; going back to its start begins the upload anew."""
        if (offset, whence) == (0, 0):
            self._transfer = Transfer("upload", self._on_progress)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of the file."""
        return self._file.tell()


@contextmanager
def shown_progress(*, only_interactive: bool = False) -> Iterator[ProgressCallback | None]:
    """A callback that shows what it is given on stderr or in the notebook, in the way that suits the place.

    With ``only_interactive`` it is None where nobody looks on.
    """
    if _in_notebook():
        with _notebook_line() as show:
            yield show
    elif sys.stderr.isatty():
        with _terminal_bar() as show:
            yield show
    else:
        yield None if only_interactive else _PlainLines()


def megabytes(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"


def duration(seconds: float) -> str:
    """A time span for people: ``48 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


@contextmanager
def _terminal_bar() -> Iterator[ProgressCallback]:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.description:<11}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[amounts]}"),
        TextColumn("[dim]{task.fields[pace]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(progress: Progress) -> None:
            if progress.stage not in tasks:
                for earlier in tasks.values():
                    bars.update(earlier, completed=1.0, visible=True)
                    bars.stop_task(earlier)
                tasks[progress.stage] = bars.add_task(progress.stage, total=1.0, amounts="", pace="")
            bars.update(
                tasks[progress.stage],
                completed=progress.fraction,
                amounts=progress.amounts(),
                pace=progress.pace(),
            )

        yield show


@contextmanager
def _notebook_line() -> Iterator[ProgressCallback]:
    from IPython.display import display

    handle = display({"text/plain": ""}, raw=True, display_id=True)

    def show(progress: Progress) -> None:
        handle.update({"text/plain": _line(progress)}, raw=True)

    yield show


class _PlainLines:
    """A line for every new stage, and one every few seconds while it lasts."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._printed = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage or now - self._printed >= _PLAIN_LINE_SECONDS:
            self._stage, self._printed = progress.stage, now
            print(f"{progress.stage}: {progress.amounts()} {progress.pace()}".rstrip(), file=sys.stderr, flush=True)


def _line(progress: Progress) -> str:
    full = round(progress.fraction * _BAR_CHARACTERS)
    bar = "█" * full + "░" * (_BAR_CHARACTERS - full)
    return f"{progress.stage:<11} {bar} {progress.fraction:4.0%}  {progress.amounts()}  {progress.pace()}".rstrip()


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and shell.has_trait("kernel")
