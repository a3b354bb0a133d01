"""Putting the shards together, in order, into one result object without holding it in memory."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipelines.object_store import ObjectStore

# S3's limits: every part but the last has at least 5 MiB, and there are at most 10,000 parts.
MIN_PART_BYTES = 5 * 1024 * 1024
MAX_PARTS = 10_000
_THREADS = 4


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard's key, size in bytes and ETag."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class JoinPart:
    """Consecutive shards that make one part: a single large one is copied, several are read and sent."""

    shards: tuple[Shard, ...]

    @property
    def copied(self) -> bool:
        return len(self.shards) == 1 and self.shards[0].size >= MIN_PART_BYTES


def plan_join(shards: Sequence[Shard]) -> list[JoinPart]:
    """Group shards, in order, into parts of at least ``MIN_PART_BYTES`` (the last may be smaller)."""
    parts: list[JoinPart] = []
    gathered: list[Shard] = []
    for shard in shards:
        gathered.append(shard)
        if sum(each.size for each in gathered) >= MIN_PART_BYTES:
            parts.append(JoinPart(tuple(gathered)))
            gathered = []
    if gathered:
        parts.append(JoinPart(tuple(gathered)))
    if len(parts) > MAX_PARTS:
        raise ValueError(f"{len(parts)} parts are over S3's limit of {MAX_PARTS}")
    return parts


def join_shards(store: ObjectStore, shards: Sequence[Shard], target: str) -> None:
    """Write ``target`` from ``shards``; it appears whole or not at all.

    Raises ObjectChanged when a shard is not the one that is meant, or gone.
    """
    parts = plan_join(shards)
    if len(parts) == 1:
        store.put(target, _read(store, parts[0]), content_type="application/x-ndjson")
        return
    upload = store.begin_multipart(target)

    def send(number: int, part: JoinPart) -> None:
        if part.copied:
            upload.copy_part(number, part.shards[0].key, etag=part.shards[0].etag)
        else:
            upload.put_part(number, _read(store, part))

    try:
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(send, range(1, len(parts) + 1), parts))
        upload.complete()
    except BaseException:
        upload.abort()
        raise


def _read(store: ObjectStore, part: JoinPart) -> bytes:
    return b"".join(store.read_range(shard.key, 0, shard.size, etag=shard.etag) for shard in part.shards)
