"""Records that one registry changes, and writes that a superseded one cannot land over its successor's."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from pipelines.exceptions import ObjectChanged, ObjectMissing, StorageUnavailable
from pipelines.object_store import ObjectStore
from serve_app.recently_used import RecentlyUsed

_REMEMBERED_VERSIONS = 10_000
_TRIES = 5


class VersionedRecords:
    """Remembers which versions of records were read or written last. Thread-safe.

    A write replaces the version that was known before its writer checked the claim to the bucket, and no other: what a
    successor has written since was written after it had taken the claim. ``conditional`` says whether the storage
    honours that; where it does not, the last write wins.
    """

    def __init__(self, store: ObjectStore, require_claim: Callable[[], None]) -> None:
        """``require_claim`` raises where the bucket is another registry's."""
        self._store = store
        self._require_claim = require_claim
        self._etags: RecentlyUsed[str, str] = RecentlyUsed(_REMEMBERED_VERSIONS)
        self._lock = Lock()
        self.conditional = False

    def read(self, key: str) -> bytes:
        """Raises ObjectMissing."""
        body, etag = self._store.get_with_etag(key)
        self._remember(key, etag)
        return body

    def version(self, key: str) -> str | None:
        """The version that a write is to replace, None where nothing is there. To be asked for before the claim is
        checked.
        """
        if not self.conditional:
            return None
        with self._lock:
            etag = self._etags.get(key)
        return self._stored_version(key) if etag is None else etag

    def write(self, key: str, body: bytes, version: str | None) -> None:
        """For a writer that has checked the claim since it asked for ``version``. Raises as ``require_claim`` does."""
        for _ in range(_TRIES):
            try:
                self.replace(key, body, version)
                return
            except ObjectChanged:
                # Written by a successor, or late by a predecessor, or by this registry, which was not told of it.
                version = self._stored_version(key)
                self._require_claim()
        raise StorageUnavailable(
            "The job's record was changed by others each time that it was to be stored. Try again shortly.", reason=key
        )

    def replace(self, key: str, body: bytes, version: str | None) -> None:
        """One try. Raises ObjectChanged where another version is there, if the storage honours conditions."""
        if self.conditional:
            self._remember(key, self._store.replace(key, body, etag=version))
        else:
            self._store.put(key, body)

    def _stored_version(self, key: str) -> str | None:
        try:
            return self._store.head(key).etag
        except ObjectMissing:
            return None

    def _remember(self, key: str, etag: str) -> None:
        with self._lock:
            self._etags.put(key, etag)
