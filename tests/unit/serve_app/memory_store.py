"""A bucket in memory, for what is decided about objects without a server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import md5

from pipelines.exceptions import ObjectChanged, ObjectMissing, StorageUnavailable
from pipelines.object_store import ListedObject, ObjectInfo


def etag_of(body: bytes) -> str:
    return md5(body).hexdigest()


class MemoryStore:
    """Objects in memory; counts its reads, can be down, and can ignore the conditions of writes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads = 0
        self.down = False
        self.ignores_conditions = False

    def put(self, key: str, body: bytes) -> None:
        self._require_up()
        self.objects[key] = body

    def get(self, key: str) -> bytes:
        self.reads += 1
        self._require_up()
        if key not in self.objects:
            raise ObjectMissing
        return self.objects[key]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        body = self.get(key)
        return body, etag_of(body)

    def head(self, key: str) -> ObjectInfo:
        body = self.get(key)
        return ObjectInfo(key, len(body), etag_of(body), {})

    def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
        found = etag_of(self.objects[key]) if key in self.objects else None
        if found != etag and not self.ignores_conditions:
            raise ObjectChanged
        self.put(key, body)
        return etag_of(body)

    def honours_conditions(self, key: str) -> bool:
        self._require_up()
        return not self.ignores_conditions

    def exists(self, key: str) -> bool:
        self._require_up()
        return key in self.objects

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ListedObject]:
        self._require_up()
        for key in sorted(name for name in self.objects if name.startswith(prefix))[:limit]:
            yield ListedObject(key, len(self.objects[key]), datetime.now(UTC))

    def delete(self, *keys: str) -> None:
        self._require_up()
        for key in keys:
            self.objects.pop(key, None)

    def abort_multiparts(self, prefix: str, *, before: datetime | None = None) -> int:
        """There are none."""
        self._require_up()
        return 0

    def _require_up(self) -> None:
        if self.down:
            raise StorageUnavailable
