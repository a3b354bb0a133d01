"""Scanning all ranges of an input: by the driver itself, or by the whole cluster where the input is large."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray

from pipelines.engines import token_counter_for
from pipelines.job_input import JobInput
from pipelines.object_store import ObjectStore
from pipelines.ranges import ByteRange, read_lines_of
from pipelines.scan import RangeScan, scan_lines
from pipelines.settings import Settings

_SAMPLES = 4096
_SAMPLES_PER_RANGE = 32
# While one waits for S3 another counts.
_THREADS = 4


def scan_input(
    store: ObjectStore,
    settings: Settings,
    model: str,
    job: JobInput,
    ranges: Sequence[ByteRange],
    prefetched: bytes | None,
) -> list[RangeScan]:
    """What each of ``ranges`` holds; ``prefetched`` is the whole input where it has been read already."""
    samples = max(_SAMPLES // len(ranges), _SAMPLES_PER_RANGE)

    def scan(cut: ByteRange) -> RangeScan:
        return _scan_range(store, settings, model, job, cut, samples, prefetched)

    if prefetched is None and job.version.size > settings.driver_scan_bytes:
        return _scan_in_tasks(store, settings, model, job, ranges, samples)
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(scan, ranges))


def _scan_in_tasks(
    store: ObjectStore, settings: Settings, model: str, job: JobInput, ranges: Sequence[ByteRange], samples: int
) -> list[RangeScan]:
    # No CPU, since other jobs' classifiers may hold every one. Unless told to spread such tasks, Ray would put them all
    # on the driver's node.
    scan = ray.remote(_scan_range).options(num_cpus=0, scheduling_strategy="SPREAD", max_retries=-1)
    results: dict[Any, int] = {}
    scans: dict[int, RangeScan] = {}
    # More would only start more processes than there are processors.
    in_flight = max(int(ray.cluster_resources().get("CPU", 1)), 2)  # type: ignore[no-untyped-call]
    waiting = list(reversed(ranges))
    while waiting or results:
        while waiting and len(results) < in_flight:
            cut = waiting.pop()
            results[scan.remote(store, settings, model, job, cut, samples, None)] = cut.index
        ready, _ = ray.wait(list(results), num_returns=1)
        for reference in ready:
            scans[results.pop(reference)] = ray.get(reference)
    return [scans[cut.index] for cut in ranges]


def _scan_range(
    store: ObjectStore,
    settings: Settings,
    model: str,
    job: JobInput,
    cut: ByteRange,
    samples: int,
    prefetched: bytes | None,
) -> RangeScan:
    data = read_lines_of(cut, job.version.size, job.reader(store, prefetched))
    counter = token_counter_for(settings, model)
    return scan_lines(data, first=cut.index == 0, samples=samples, count_tokens=counter.count)
