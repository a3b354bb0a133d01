"""Shards: the result lines of one range as one object, with its counters in the object's metadata."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from pipelines.exceptions import ObjectMissing
from pipelines.layout import JobPaths, shard_index
from pipelines.object_store import Body, ObjectInfo, ObjectStore

_HEAD_THREADS = 16


@dataclass(frozen=True, slots=True)
class ShardReceipt:
    """What a finished shard holds: items answered, items answered with an error, tokens and bytes."""

    index: int
    completed: int
    failed: int
    tokens: int
    size: int


@dataclass(frozen=True, slots=True)
class ShardOrigin:
    """What a shard was made from: the input's ETag and the engine's fingerprint."""

    input_etag: str
    engine: str

    def metadata(self) -> dict[str, str]:
        return {"input": self.input_etag, "engine": self.engine}


def write_shard(store: ObjectStore, paths: JobPaths, lines: Body, receipt: ShardReceipt, origin: ShardOrigin) -> None:
    """One PUT: the shard is there with its counters, or not at all."""
    store.put(
        paths.shard(receipt.index),
        lines,
        metadata={
            "completed": str(receipt.completed),
            "failed": str(receipt.failed),
            "tokens": str(receipt.tokens),
            **origin.metadata(),
        },
        content_type="application/x-ndjson",
    )


@dataclass(frozen=True, slots=True)
class FinishedShard:
    """A shard as it lies in the storage."""

    receipt: ShardReceipt
    etag: str


def finished_shards(store: ObjectStore, paths: JobPaths, origin: ShardOrigin) -> dict[int, FinishedShard]:
    """The shards that exist of this origin, by range index."""
    keys = [listed.key for listed in store.list(paths.shards_prefix)]
    with ThreadPoolExecutor(_HEAD_THREADS) as threads:
        found = threads.map(partial(_head, store), keys)
        return dict(_of_origin(found, origin))


def _head(store: ObjectStore, key: str) -> ObjectInfo | None:
    try:
        return store.head(key)
    except ObjectMissing:
        # Removed since it was listed.
        return None


def _of_origin(found: Iterable[ObjectInfo | None], origin: ShardOrigin) -> Iterable[tuple[int, FinishedShard]]:
    for info in found:
        if info is None or not origin.metadata().items() <= info.metadata.items():
            continue
        index = shard_index(info.key)
        receipt = ShardReceipt(
            index=index,
            completed=int(info.metadata["completed"]),
            failed=int(info.metadata["failed"]),
            tokens=int(info.metadata["tokens"]),
            size=info.size,
        )
        yield index, FinishedShard(receipt, info.etag)
