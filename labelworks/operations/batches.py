"""The calls of the batch API."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from os import PathLike
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar, Unpack, cast
from urllib.parse import quote

from labelworks.errors import (
    APIStatusError,
    BatchFailedError,
    BatchNotStartedError,
    ConflictError,
    InputError,
    NotFoundError,
    ResultsChangedError,
    UnsupportedError,
    WaitTimeoutError,
)
from labelworks.inputs import json_of
from labelworks.operations.downloads import Download, Lines, download_file
from labelworks.operations.effects import Emit, Operation, Request, Stream, now, sleep
from labelworks.operations.retries import PASSING_ERRORS, answered
from labelworks.operations.service import Service
from labelworks.progress import CountedReads, Progress, ProgressCallback
from labelworks.tasks import sendable
from labelworks.types import Batch, BatchSummary, CreatedBatch, Result, Task

T = TypeVar("T")

CANCELLED = "cancelled"
MAX_UPLOAD_BYTES = 5 * 2**30
LISTED_JOBS = 20
# Of a cluster that is set up anew, with time to spare.
LONGEST_OUTAGE_SECONDS = 900.0
_FIRST_POLL_SECONDS = 0.3
_LONGEST_POLL_SECONDS = 3.0
# Some storages answer only when they have put away all of a large file.
_UPLOAD_TIMEOUT_SECONDS = 600.0


class BatchOperations:
    """Each call, as an operation."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def create(self, **task: Unpack[Task]) -> Operation[CreatedBatch]:
        """Create a job. What the arguments mean: ``labelworks.types.Task``. Raises InputError for other types."""
        answer = yield from self._service.call("POST", "/v1/batch", json=sendable(task), once=True)
        return answer.read(CreatedBatch.from_json)

    def upload(
        self,
        batch: CreatedBatch,
        file: str | PathLike[str] | IO[bytes],
        *,
        on_progress: ProgressCallback | None = None,
    ) -> Operation[None]:
        """Upload the job's NDJSON file, a path or a seekable binary file, in constant memory.

        Raises InputError for an empty file or one over 5 GB, StorageError where the storage refuses it.
        """
        with ExitStack() as opened:
            source = opened.enter_context(Path(file).open("rb")) if isinstance(file, str | PathLike) else file
            size = source.seek(0, 2)
            require_size(size)
            request = Request(
                "POST",
                batch.upload_url,
                form=batch.upload_fields,
                file=cast(BinaryIO, CountedReads(source, size, on_progress)),
                timeout=max(self._service.timeout, _UPLOAD_TIMEOUT_SECONDS),
            )
            yield from answered(request, self._service.retries, storage=True)

    def start(self, job_id: str) -> Operation[None]:
        """Start a job whose file is uploaded, or one that failed; that one goes on where it ended.

        Raises ConflictError where its state, or another job of the account, does not allow that now.
        """
        yield from self._service.call("POST", f"{_path(job_id)}/start", once=True)

    def retrieve(self, job_id: str) -> Operation[Batch]:
        """The job's state."""
        return (yield from self._state(job_id))

    def list(self) -> Operation[builtins.list[BatchSummary]]:
        """The account's 20 newest jobs, newest first."""
        answer = yield from self._service.call("GET", "/v1/batch")
        return answer.read(BatchSummary.list_from_json)

    def cancel(self, job_id: str) -> Operation[Batch]:
        """Stop a job that is processing; it ends as failed, and can be started again where it was.

        Raises ConflictError for a job that is not processing, and UnsupportedError where the service cannot cancel.
        """
        try:
            yield from self._service.call("POST", f"{_path(job_id)}/cancel")
        except NotFoundError:
            # Either there is no such job, and then this raises the same error, or no such call.
            yield from self.retrieve(job_id)
            raise UnsupportedError("This service cannot cancel jobs") from None
        except ConflictError as error:
            # Ended by an earlier attempt of this same call.
            batch = (yield from self.retrieve(job_id)) if error.repeated else None
            if batch is None or batch.error != CANCELLED:
                raise
        except APIStatusError as error:
            if error.status != 405:
                raise
            raise UnsupportedError("This service cannot cancel jobs") from None
        return (yield from self.retrieve(job_id))

    def delete(self, job_id: str) -> Operation[None]:
        """Delete a job and all its files. Raises ConflictError while it is processing."""
        try:
            yield from self._service.call("DELETE", _path(job_id))
        except NotFoundError as error:
            # Gone by an earlier attempt of this same call.
            if not error.repeated:
                raise

    def wait(
        self,
        job_id: str,
        *,
        timeout: float | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Operation[Batch]:
        """Poll a started job until it has completed, also while the service does not answer, as the job goes on.

        Raises BatchFailedError where it ends otherwise, BatchNotStartedError for a job that nobody started, and
        WaitTimeoutError after ``timeout`` seconds; the last call may take 5 more. APIConnectionError, ServerError and
        RateLimitError are raised where the service did not answer once in that time, or without a ``timeout`` where
        it has not answered for 15 minutes.
        """
        began = yield from now()
        pause = _FIRST_POLL_SECONDS
        batch: Batch | None = None
        while True:
            until = (yield from now()) + LONGEST_OUTAGE_SECONDS if timeout is None else began + timeout
            try:
                batch = yield from self._state(job_id, until=until)
            except PASSING_ERRORS as error:
                if timeout is None or batch is None:
                    raise
                yield from sleep(max(until - (yield from now()), 0.0))
                raise WaitTimeoutError(batch, timeout) from error
            if on_progress is not None:
                on_progress(Progress.of(batch))
            if batch.status == "completed":
                return batch
            if batch.has_ended:
                raise BatchFailedError(batch)
            if batch.status == "pending":
                raise BatchNotStartedError(batch)
            if timeout is not None:
                left = until - (yield from now())
                if left <= 0:
                    raise WaitTimeoutError(batch, timeout)
                pause = min(pause, left)
            yield from sleep(pause)
            pause = min(pause * 1.3, _LONGEST_POLL_SECONDS)

    def results(self, job_id: str) -> Stream[Result]:
        """A completed job's results one by one, the Nth for the Nth item, in constant memory.

        A broken connection is taken up where it broke. Raises ConflictError unless the job is completed.
        """
        read_lines = Lines(self._download(job_id))
        while lines := (yield from read_lines.read()):
            for line in lines:
                yield Emit(_result(line))

    def raw_results(self, job_id: str) -> Stream[bytes]:
        """The bytes of a completed job's result file in pieces of any size, otherwise as ``results``."""
        download = self._download(job_id)
        while piece := (yield from download.read()):
            yield Emit(piece)

    def partial_results(self, job_id: str) -> Stream[tuple[int, Result]]:
        """What is finished so far, also of a failed job: pairs of an item's number, counted from 0, and its Result.

        In input order, with gaps where parts are not finished. Raises ConflictError for a job that was never started.
        """
        yield from self._partial(job_id, _result)

    def raw_partial_results(self, job_id: str) -> Stream[tuple[int, bytes]]:
        """The lines of ``partial_results`` as they are in the result file, without line ends."""
        yield from self._partial(job_id, bytes)

    def download(
        self,
        job_id: str,
        path: str | PathLike[str],
        *,
        on_progress: ProgressCallback | None = None,
    ) -> Operation[Path]:
        """Write a completed job's result file to ``path``, in constant memory.

        An interrupted download leaves ``<path>.<version>.part``, from which the next call goes on.
        """
        target = Path(path)
        yield from download_file(self._service, self._locator(job_id), target, on_progress)
        return target

    def _state(self, job_id: str, *, until: float | None = None) -> Operation[Batch]:
        answer = yield from self._service.call("GET", _path(job_id), until=until)
        return answer.read(Batch.from_json)

    def _partial(self, job_id: str, made_of: Callable[[bytes], T]) -> Stream[tuple[int, T]]:
        addresses = yield from self._parts(job_id)
        for part in tuple(addresses):
            locate = self._part_locator(job_id, part, addresses)
            read_lines = Lines(Download(self._service, locate, address=addresses[part]))
            numbers = count(part.first_item)
            while lines := (yield from read_lines.read()):
                for line in lines:
                    yield Emit((next(numbers), made_of(line)))

    def _parts(self, job_id: str) -> Operation[dict[_Part, str]]:
        """The addresses of the parts that are finished, in input order."""
        answer = yield from self._service.call("GET", f"{_path(job_id)}/results", query={"partial": "true"})
        return answer.read(_part_addresses)

    def _part_locator(self, job_id: str, part: _Part, addresses: dict[_Part, str]) -> Callable[[], Operation[str]]:
        def locate() -> Operation[str]:
            found = yield from self._parts(job_id)
            if part not in found:
                raise ResultsChangedError("A part of the results is no longer there; read them again from the start")
            # For the parts that follow too, whose addresses are as old.
            addresses.update(found)
            return found[part]

        return locate

    def _download(self, job_id: str) -> Download:
        return Download(self._service, self._locator(job_id))

    def _locator(self, job_id: str) -> Callable[[], Operation[str]]:
        def locate() -> Operation[str]:
            answer = yield from self._service.call("GET", f"{_path(job_id)}/results")
            return answer.read(_download_url)

        return locate


def require_size(size: int) -> None:
    """Raises InputError for a file of so many bytes that the service would not take it."""
    if not 0 < size <= MAX_UPLOAD_BYTES:
        raise InputError(f"The file has {size:,} bytes; allowed are 1 to {MAX_UPLOAD_BYTES:,} (5 GB)")


@dataclass(frozen=True, slots=True)
class _Part:
    first_item: int
    items: int


def _part_addresses(answer: Mapping[str, Any]) -> dict[_Part, str]:
    return {_Part(part["first_item"], part["items"]): _download_url(part) for part in answer["parts"]}


def _download_url(answer: Mapping[str, Any]) -> str:
    url: str = answer["download_url"]
    return url


def _result(line: bytes) -> Result:
    return Result.from_json(json_of(line))


def _path(job_id: str) -> str:
    if not job_id:
        raise InputError("The job's id is empty; it is what create gave: batch_…")
    return f"/v1/batch/{quote(job_id, safe='')}"
