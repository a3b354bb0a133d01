"""Putting the shards together, in order, into one result object without holding it in memory."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

from pipelines.object_store import ObjectStore
from pipelines.spool import spool

# S3's limits: every part but the last has at least 5 MiB, and there are at most 10,000 parts.
MIN_PART_BYTES = 5 * 1024 * 1024
MAX_PARTS = 10_000
_THREADS = 4
_READ_BYTES = 8 * 1024 * 1024


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
    """Group shards, in order, into parts of at least ``MIN_PART_BYTES`` (the last may be smaller): of more where there
    would be over ``MAX_PARTS`` of them.
    """
    parts = _grouped(shards, MIN_PART_BYTES)
    if len(parts) <= MAX_PARTS:
        return parts
    # What is left over makes one more.
    return _grouped(shards, -(-sum(shard.size for shard in shards) // (MAX_PARTS - 1)))


def _grouped(shards: Sequence[Shard], least_bytes: int) -> list[JoinPart]:
    parts: list[JoinPart] = []
    gathered: list[Shard] = []
    size = 0
    for shard in shards:
        gathered.append(shard)
        size += shard.size
        if size >= least_bytes:
            parts.append(JoinPart(tuple(gathered)))
            gathered, size = [], 0
    if gathered:
        parts.append(JoinPart(tuple(gathered)))
    return parts


def join_shards(store: ObjectStore, shards: Sequence[Shard], target: str) -> None:
    """Write ``target`` from ``shards``; it appears whole or not at all.

    Raises ObjectChanged when a shard is not the one that is meant, or gone.
    """
    parts = plan_join(shards)
    if len(parts) == 1:
        with spool() as body:
            _read(store, parts[0], body)
            store.put(target, body, content_type="application/x-ndjson")
        return
    upload = store.begin_multipart(target)

    def send(number: int, part: JoinPart) -> None:
        if part.copied:
            upload.copy_part(number, part.shards[0].key, etag=part.shards[0].etag)
            return
        with spool() as body:
            _read(store, part, body)
            upload.put_part(number, body)

    try:
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(send, range(1, len(parts) + 1), parts))
        upload.complete()
    except BaseException:
        upload.abort()
        raise


def _read(store: ObjectStore, part: JoinPart, body: IO[bytes]) -> None:
    for shard in part.shards:
        for start in range(0, shard.size, _READ_BYTES):
            end = min(start + _READ_BYTES, shard.size)
            body.write(store.read_range(shard.key, start, end, etag=shard.etag))
