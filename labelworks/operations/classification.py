"""The calls that do everything: create, upload, start, wait, download, join."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, Unpack

from labelworks.classified import Classified, FrameT, joined_frame, read_results, require_columns
from labelworks.errors import BatchFailedError, InputError, WaitTimeoutError
from labelworks.inputs import InputFile, write_items
from labelworks.operations.batches import BatchOperations, require_size
from labelworks.operations.classifiers import ClassifierOperations
from labelworks.operations.downloads import require_writable
from labelworks.operations.effects import Operation, work
from labelworks.progress import ProgressCallback, shown_progress
from labelworks.tasks import sendable
from labelworks.types import Batch, Task

logger = logging.getLogger("labelworks")

ItemT = TypeVar("ItemT")
_CREATED = "Job {0} was created and has no file yet; client.batches.delete({0}) removes it"
_UPLOADED = "Job {0} has its file; client.batches.start({0}) starts it, if that has not happened"
_STARTED = (
    "Job {0} was started: client.batches.wait({0}), then client.batches.download({0}, path);"
    " client.batches.cancel({0}) ends it"
)

ShowProgress = bool | ProgressCallback | None


class ClassifyOperations:
    """Each call, as an operation. ``progress``: True, False, a callback, or None for "where somebody looks on"."""

    def __init__(self, batches: BatchOperations, classifiers: ClassifierOperations) -> None:
        self._batches = batches
        self._classifiers = classifiers

    def classify_file(
        self,
        path: str | PathLike[str],
        *,
        out: str | PathLike[str] | None = None,
        text_field: str = "text",
        progress: ShowProgress = None,
        timeout: float | None = None,
        **task: Unpack[Task],
    ) -> Operation[Classified[dict[str, Any] | None]]:
        """Classify a file: NDJSON, or CSV or Parquet with pyarrow; ``text_field`` names the texts' field or column.

        Iterate over what is returned for (fields of the item, Result). ``out`` keeps the result file, whose line N
        answers item N; without it the file is removed with what is returned. The item is None for a line that is
        not a JSON object; the fields of a CSV row are strings, and a field that Python has no type for is None. Raises
        what ``create``, ``upload``, ``start``, ``wait`` and ``download`` of ``client.batches`` raise, with a note that
        names the job, and InputError for a file that cannot be read, an ``out`` that cannot be written or is that
        file, and an argument of another type than is sent.
        """
        task = sendable(task)
        file = InputFile(Path(path), text_field)
        file.require_readable()
        if out is not None:
            require_writable(Path(out), source=file.path)
        folder = TemporaryDirectory(prefix="labelworks-")
        results = Path(out) if out is not None else Path(folder.name, "results.ndjson")
        source = file.path
        if not file.is_ready:
            source = Path(folder.name, "input.ndjson")
            yield from work(partial(file.write_ndjson, source))
        batch = yield from self._classify_ndjson(source, results, progress, timeout, task)
        if source != file.path:
            source.unlink()
        return Classified(batch, results, file.items, folder)

    def classify_items(
        self,
        items: Iterable[ItemT],
        *,
        text_field: str = "text",
        progress: ShowProgress = None,
        timeout: float | None = None,
        **task: Unpack[Task],
    ) -> Operation[Classified[ItemT]]:
        """Classify strings, or mappings whose ``text_field`` holds a string, given by any iterable.

        Iterate over what is returned for (item, Result). An iterable that is not a sequence is spooled to disk. The
        ``id`` and ``custom_id`` of a mapping are in its Result. Raises InputError where there is no item.
        """
        if isinstance(items, str | bytes | Mapping):
            raise InputError(
                f"One {type(items).__name__} was passed; expected a list of the texts or mappings to classify"
            )
        task = sendable(task)
        folder = TemporaryDirectory(prefix="labelworks-")
        source, results = Path(folder.name, "input.ndjson"), Path(folder.name, "results.ndjson")
        spool = None if isinstance(items, Sequence) else Path(folder.name, "items")
        sent = _as_mappings(items if spool is None else _spooled(items, spool), text_field)
        yield from work(partial(write_items, sent, source, text_field))
        batch = yield from self._classify_ndjson(source, results, progress, timeout, task)
        source.unlink()
        return Classified(batch, results, partial(iter, items) if spool is None else partial(_unspooled, spool), folder)

    def classify_frame(
        self,
        frame: FrameT,
        *,
        text_field: str = "text",
        prefix: str = "",
        progress: ShowProgress = None,
        timeout: float | None = None,
        **task: Unpack[Task],
    ) -> Operation[FrameT]:
        """Classify the column ``text_field`` of a DataFrame; the same frame with the results as columns comes back.

        They are ``label``, ``confidence``, ``tokens`` and ``error``, each with ``prefix`` before it; in ``multi``
        ``labels`` and ``confidences`` hold lists. Raises InputError where one of those exists already.
        """
        task = yield from self._classifiers.with_mode(sendable(task))
        multi = task.get("mode") == "multi"
        names = ("labels", "confidences") if multi else ("label", "confidence")
        columns = [f"{prefix}{name}" for name in (*names, "tokens", "error")]
        require_columns(frame, text_field, columns)
        with TemporaryDirectory(prefix="labelworks-") as folder:
            source, results = Path(folder, "input.ndjson"), Path(folder, "results.ndjson")
            sent = ({text_field: text} for text in frame[text_field])
            yield from work(partial(write_items, sent, source, text_field))
            batch = yield from self._classify_ndjson(source, results, progress, timeout, task)
            with _named(batch.job_id, _STARTED):
                return (yield from work(lambda: joined_frame(frame, read_results(results), columns, multi=multi)))

    def _classify_ndjson(
        self, source: Path, results: Path, progress: ShowProgress, timeout: float | None, task: Task
    ) -> Operation[Batch]:
        require_size(source.stat().st_size)
        with _shown(progress) as show:
            created = yield from self._batches.create(**task)
            with _named(created.job_id, _CREATED):
                yield from self._batches.upload(created, source, on_progress=show)
            with _named(created.job_id, _UPLOADED):
                yield from self._batches.start(created.job_id)
            with _named(created.job_id, _STARTED):
                batch = yield from self._batches.wait(created.job_id, timeout=timeout, on_progress=show)
                yield from self._batches.download(created.job_id, results, on_progress=show)
        return batch


@contextmanager
def _named(job_id: str, state: str) -> Iterator[None]:
    """See to it that whoever meets an error, or interrupts, is told the job's id."""
    try:
        yield
    except (BatchFailedError, WaitTimeoutError):
        raise
    except GeneratorExit:
        # Ctrl-C, or a task of asyncio that was cancelled.
        logger.warning(state.format(repr(job_id)))
        raise
    except Exception as error:
        error.add_note(state.format(repr(job_id)))
        raise


@contextmanager
def _shown(progress: ShowProgress) -> Iterator[ProgressCallback | None]:
    if callable(progress):
        yield progress
    elif progress is False:
        yield None
    else:
        with shown_progress(only_interactive=progress is None) as show:
            yield show


def _as_mappings(items: Iterable[Any], text_field: str) -> Iterator[Mapping[Any, Any]]:
    for number, item in enumerate(items, 1):
        if isinstance(item, str):
            yield {text_field: item}
        elif isinstance(item, Mapping):
            yield item
        else:
            raise InputError(f"Item {number} is a {type(item).__name__}; expected a string or a mapping")


def _spooled(items: Iterable[ItemT], spool: Path) -> Iterator[ItemT]:
    with spool.open("wb") as file:
        for item in items:
            pickle.dump(item, file)
            yield item


def _unspooled(spool: Path) -> Iterator[Any]:
    """Reads what ``_spooled`` wrote, to a folder that only this user can write to."""
    with spool.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)
            except EOFError:
                return
