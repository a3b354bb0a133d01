"""The one version of the uploaded object that a job reads."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.exceptions import InputChanged, ObjectChanged, ObjectMissing
from pipelines.job import InputVersion
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.ranges import ReadBytes


@dataclass(frozen=True, slots=True)
class JobInput:
    """A job's keys and its input's version; reading any other version raises InputChanged."""

    paths: JobPaths
    version: InputVersion

    def require_unchanged(self, store: ObjectStore) -> None:
        """Raises InputChanged where another version, or none, lies there now."""
        try:
            etag = store.head(self.paths.input).etag
        except ObjectMissing as error:
            raise InputChanged from error
        if etag != self.version.etag:
            raise InputChanged

    def read_all(self, store: ObjectStore) -> bytes:
        """The whole input; for small ones."""
        return self._read(store, 0, self.version.size)

    def reader(self, store: ObjectStore, prefetched: bytes | None) -> ReadBytes:
        """Reads parts of the input, from ``prefetched`` (the whole input) where it is given."""

        def read(start: int, end: int) -> bytes:
            if prefetched is not None:
                return prefetched[start:end]
            return self._read(store, start, end)

        return read

    def _read(self, store: ObjectStore, start: int, end: int) -> bytes:
        try:
            return store.read_range(self.paths.input, start, end, etag=self.version.etag)
        except ObjectChanged as error:
            raise InputChanged from error
