"""The bucket as the nodes that classify meet it: with credentials, a network and a clock of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.exceptions import LabelworksError
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectInfo, ObjectStore
from pipelines.settings import Settings
from pipelines.shards import ShardOrigin, ShardReceipt, write_shard
from serve_app.doctor.finding import Finding
from serve_app.doctor.storage import examine_clock

# A process on the node may have to start for it.
_ANSWER_SECONDS = 90.0
_LINE = b'{"text":"doctor"}\n'
_ADVICE = (
    "Compare the policy of the node's role with serve_app/operations/worker-policy.json, and see that the node has a"
    " route to the storage and a clock that is right (NTP)."
)


def examine_workers(settings: Settings, nodes: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Has each of Ray's ``nodes`` that offers CPUs or GPUs do in the bucket what jobs do. Leaves nothing behind."""
    workers = [node for node in nodes if node["Resources"].get("CPU") or node["Resources"].get("GPU")]
    if not workers:
        yield Finding(
            "storage on workers",
            False,
            "not tried: there is no node now that offers CPUs or GPUs",
            "A node that comes on demand may not be there yet: run this again when `ray status` shows it.",
        )
        return
    store = ObjectStore(settings, retry_seconds=settings.s3_api_retry_seconds)
    paths = JobPaths("doctor", f"batch_{uuid.uuid4().hex[:16]}")
    try:
        with uploaded_input(store, paths, shards=len(workers)) as given:
            yield from _examine_each(store, paths, given, workers)
    except LabelworksError as error:
        yield Finding(
            "storage on workers",
            False,
            f"not tried: this machine could not write the input that they are to read: {error.message}",
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
            failures.append(Finding(check, False, f"{operation} failed: {error.message}", _ADVICE))
    if failures:
        return failures
    return [
        Finding(check, True, "reads inputs and writes shards"),
        examine_clock(f"clock of node {node}", datetime.now(UTC) - store.server_time(given.key)),
    ]


def _examine_each(
    store: ObjectStore, paths: JobPaths, given: ObjectInfo, workers: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    asked = {}
    for index, worker in enumerate(workers):
        here = NodeAffinitySchedulingStrategy(worker["NodeID"], soft=False)
        # No CPU: jobs may have them all.
        task = ray.remote(examine_storage_from).options(num_cpus=0, max_retries=0, scheduling_strategy=here)
        name: str = worker["NodeManagerHostname"]
        asked[task.remote(name, store, paths, given, index)] = name
    _, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_SECONDS)
    for answer in silent:
        ray.cancel(answer, force=True)
    for answer, name in asked.items():
        if answer in silent:
            yield _unanswered(name, f"the check was not done within {_ANSWER_SECONDS:.0f} s")
            continue
        try:
            yield from ray.get(answer)
        except RayError as error:
            yield _unanswered(name, f"the check ended with {type(error).__name__}")


def _unanswered(node: str, found: str) -> Finding:
    return Finding(f"storage on node {node}", False, found, "Look at the node's logs, and whether it is overloaded.")
