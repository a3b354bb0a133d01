"""The bucket as the nodes that classify meet it: with credentials, a network and a clock of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from pipelines.exceptions import LabelworksError
from pipelines.layout import JobPaths, new_job_id
from pipelines.object_store import ObjectInfo, ObjectStore
from pipelines.settings import Settings
from pipelines.shards import ShardOrigin, ShardReceipt, write_shard
from serve_app.doctor.finding import Finding
from serve_app.doctor.nodes import ask_nodes, classifying
from serve_app.doctor.storage import examine_clock

_LINE = b'{"text":"doctor"}\n'
_ADVICE = (
    "Compare the policy of the node's role with serve_app/operations/worker-policy.json, and see that the node has a"
    " route to the storage and a clock that is right (NTP)."
)


def examine_workers(settings: Settings, nodes: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Has each of Ray's ``nodes`` that offers CPUs or GPUs do in the bucket what jobs do. Leaves nothing behind."""
    workers = classifying(nodes)
    if not workers:
        yield Finding(
            "storage on workers",
            None,
            "not tried: there is no node now that offers CPUs or GPUs",
            "A node that comes on demand may not be there yet: run this again when `ray status` shows it.",
        )
        return
    store = ObjectStore(settings, retry_seconds=settings.s3_api_retry_seconds)
    paths = JobPaths("doctor", new_job_id())
    try:
        with uploaded_input(store, paths, shards=len(workers)) as given:
            yield from _examine_each(store, paths, given, workers)
    except LabelworksError as error:
        yield Finding(
            "storage on workers",
            False,
            f"not tried: this machine could not write the input that they are to read: {error}",
            "Mend first what is said of the bucket, then run this again.",
        )


@contextmanager
def uploaded_input(store: ObjectStore, paths: JobPaths, *, shards: int) -> Iterator[ObjectInfo]:
    """A job's input, of one line; it and the first so many ``shards`` are removed in the end."""
    try:
        store.put(paths.input, _LINE)
        yield store.head(paths.input)
    finally:
        # Where that is refused, the check of this machine's rights has said so, and the service's sweep may.
        with suppress(LabelworksError):
            store.delete(paths.input, *map(paths.shard, range(shards)))


def examine_storage_from(
    node: str, store: ObjectStore, paths: JobPaths, given: ObjectInfo, index: int
) -> list[Finding]:
    """What a job does on ``node``, which this runs on: read the input ``given``, write the shard ``index``."""
    check = f"storage on node {node}"

    def write() -> None:
        receipt = ShardReceipt(index, completed=1, failed=0, tokens=0, size=len(_LINE))
        write_shard(store, paths, _LINE, receipt, ShardOrigin(given.etag, "doctor"))

    attempts: tuple[tuple[str, Callable[[], object]], ...] = (
        ("reading an input (s3:GetObject)", lambda: store.read_range(given.key, 0, given.size, etag=given.etag)),
        ("writing a shard (s3:PutObject)", write),
    )
    failures = []
    for operation, attempt in attempts:
        try:
            attempt()
        except LabelworksError as error:
            failures.append(Finding(check, False, f"{operation} failed: {error}", _ADVICE))
    if failures:
        return failures
    return [
        Finding(check, True, "reads inputs and writes shards"),
        examine_clock(f"clock of node {node}", datetime.now(UTC) - store.server_time(given.key)),
    ]


def _examine_each(
    store: ObjectStore, paths: JobPaths, given: ObjectInfo, workers: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    asked = [
        (worker, (worker["NodeManagerHostname"], store, paths, given, index)) for index, worker in enumerate(workers)
    ]
    for answer in ask_nodes(examine_storage_from, asked):
        if answer.failure:
            yield Finding(
                f"storage on node {answer.node}",
                False,
                answer.failure,
                "Look at the node's logs, and whether it is overloaded.",
            )
        else:
            yield from answer.value
