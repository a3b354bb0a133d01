"""Reading an object that may be larger than memory, over connections that may break."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from labelworks.errors import APIConnectionError, InputError, ResultsChangedError
from labelworks.operations.effects import Answer, Operation, Request, open_body, read, sleep
from labelworks.operations.retries import status_error
from labelworks.operations.service import Service
from labelworks.progress import ProgressCallback, Transfer

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_SAFE_ETAG = re.compile(r'"([A-Za-z0-9-]+)"')
# An address that has expired is a 403 to S3, and a 400 where what it was signed with has.
_EXPIRED_STATUSES = frozenset({400, 403})
_RESTARTS = 3

Locate = Callable[[], Operation[str]]


class Download:
    """One object, read from ``position`` on. A broken connection is taken up where it broke.

    ``locate`` gives the object's address, anew for every connection, since presigned addresses expire. ``address`` is
    one that was given before: the first connection tries it, and where it has expired, asks for another. Retries are
    counted from the last byte that arrived, so that a slow, shaky line ends in the whole object all the same.
    """

    def __init__(
        self,
        service: Service,
        locate: Locate,
        *,
        address: str | None = None,
        position: int = 0,
        etag: str | None = None,
    ) -> None:
        self._service = service
        self._locate = locate
        self._address = address
        self._connected = False
        self._failures = 0
        self._skip = 0
        self.position = position
        self.etag = etag
        self.size: int | None = None

    def open(self) -> Operation[None]:
        """Connect, so that ``etag`` and ``size`` are known. Raises what ``read`` raises."""
        while not self._connected:
            known, self._address = self._address, None
            url = known or (yield from self._locate())
            try:
                answer = yield from open_body(self._request(url))
            except APIConnectionError as error:
                yield from self._wait_or_raise(error)
                continue
            if answer.ok:
                self._accept(answer)
            elif known and answer.status in _EXPIRED_STATUSES:
                continue
            elif answer.status == 416:
                raise ResultsChangedError("The results are shorter than the part of them that was read before")
            else:
                delay = self._service.retries.delay_after(answer, self._failures, storage=True)
                if delay is None:
                    raise status_error(answer, storage=True)
                self._failures += 1
                yield from sleep(delay)

    def read(self) -> Operation[bytes]:
        """The next piece, empty at the end.

        Raises ResultsChangedError when the object is no longer the one that was begun, StorageError when the
        storage refuses, and APIConnectionError after ``max_retries`` connections in a row without a byte.
        """
        while True:
            yield from self.open()
            if self.size is not None and self.position >= self.size:
                return b""
            try:
                piece = yield from read()
            except APIConnectionError as error:
                yield from self._wait_or_raise(error)
                continue
            if not piece and self.size is not None:
                missing = self.size - self.position
                yield from self._wait_or_raise(APIConnectionError(f"The download ended {missing:,} bytes early"))
                continue
            if self._skip:
                skipped = min(self._skip, len(piece))
                self._skip -= skipped
                piece = piece[skipped:]
                if not piece:
                    continue
            self._failures = 0
            self.position += len(piece)
            return piece

    def _request(self, url: str) -> Request:
        # Compressed on the way, its bytes could not be counted.
        headers = {"Accept-Encoding": "identity"}
        if self.position:
            headers["Range"] = f"bytes={self.position}-"
            if self.etag:
                headers["If-Range"] = self.etag
        return Request("GET", url, headers, timeout=self._service.timeout)

    def _accept(self, answer: Answer) -> None:
        etag = answer.headers.get("etag")
        if self.etag is not None and etag != self.etag:
            # Also where the storage does not know If-Range and answers with a part of another object.
            raise ResultsChangedError("The results were replaced while they were being read")
        self.etag = etag
        if answer.status == 206:
            found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
            if not found or int(found[1]) != self.position:
                raise ResultsChangedError("The storage answered with another part of the results than was asked for")
            self._skip = 0
            self.size = int(found[2])
        else:
            self._skip = self.position
            length = answer.headers.get("content-length")
            self.size = int(length) if length is not None else None
        self._connected = True

    def _wait_or_raise(self, error: APIConnectionError) -> Operation[None]:
        self._connected = False
        if self._failures >= self._service.retries.max_retries:
            raise error
        delay = self._service.retries.backoff(self._failures)
        self._failures += 1
        yield from sleep(delay)


class Lines:
    """The lines of a download, without line ends."""

    def __init__(self, download: Download) -> None:
        self._download = download
        self._rest = b""

    def read(self) -> Operation[list[bytes]]:
        """The next lines, none at the end. Raises what ``Download.read`` raises."""
        while piece := (yield from self._download.read()):
            *lines, self._rest = (self._rest + piece).split(b"\n")
            if lines:
                return lines
        last, self._rest = self._rest, b""
        return [last] if last else []


def require_writable(path: Path, *, source: Path | None = None) -> None:
    """Raises InputError unless results can be written to ``path``: to be known before a job is paid for.

    They would take the place of ``source``, the file of the texts, where both are one, by whatever name or link.
    """
    if str(path) == "-":
        raise InputError("- is no file; name one for the results (labelworks results JOB --out - prints them)")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it for the results")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a device or a pipe, which the results would replace; name a file")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise InputError(f"The results would replace the texts: {path} and {source} are one file; name another")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder} for the results; make it first")
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"The results cannot be written to the folder {folder}: {error.strerror}") from error


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` where the block ends well, and is removed where it does not."""
    part = _part(path, None)
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def download_file(
    service: Service, locate: Locate, path: Path, on_progress: ProgressCallback | None
) -> Operation[None]:
    """Write the object to ``path``, which appears when it is complete.

    Until then its bytes are in ``<path>.<etag>.part`` beside it, from which a later call goes on.
    """
    for _ in range(_RESTARTS):
        try:
            yield from _download_version(service, locate, path, on_progress)
        except ResultsChangedError:
            for stale in _parts(path):
                stale.unlink()
        else:
            return
    raise ResultsChangedError("The results were replaced again and again while they were being read")


def _download_version(
    service: Service, locate: Locate, path: Path, on_progress: ProgressCallback | None
) -> Operation[None]:
    parts = _parts(path)
    if parts:
        etag = f'"{parts[0].suffixes[-2].removeprefix(".")}"'
        download = Download(service, locate, position=parts[0].stat().st_size, etag=etag)
    else:
        download = Download(service, locate)
    yield from download.open()
    part = _part(path, download.etag)
    with part.open("ab" if parts else "wb") as file:
        yield from _copy(download, file, on_progress)
    part.replace(path)


def _copy(download: Download, file: BinaryIO, on_progress: ProgressCallback | None) -> Operation[None]:
    transfer = Transfer("download", on_progress, done=download.position)
    while piece := (yield from download.read()):
        file.write(piece)
        transfer.reached(download.position, download.size)
    transfer.ended(download.position)


def _part(path: Path, etag: str | None) -> Path:
    found = _SAFE_ETAG.fullmatch(etag or "")
    return path.with_name(f"{path.name}.{found[1]}.part" if found else f"{path.name}.part")


def _parts(path: Path) -> list[Path]:
    """Begun downloads of which the version is known."""
    pattern = re.compile(re.escape(path.name) + r"\.[A-Za-z0-9-]+\.part")
    return [found for found in sorted(path.parent.iterdir()) if pattern.fullmatch(found.name)]
