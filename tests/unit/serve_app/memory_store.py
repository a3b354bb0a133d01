"""A bucket in memory, for what is decided about objects without a server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pipelines.exceptions import ObjectMissing, StorageUnavailable
from pipelines.object_store import ListedObject


class MemoryStore:
    """Objects in memory; counts its reads, and can be down."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads = 0
        self.down = False

    def put(self, key: str, body: bytes) -> None:
        self._require_up()
        self.objects[key] = body

    def get(self, key: str) -> bytes:
        self.reads += 1
        self._require_up()
        if key not in self.objects:
            raise ObjectMissing
        return self.objects[key]

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
