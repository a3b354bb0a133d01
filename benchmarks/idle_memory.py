"""Does the service grow while nobody uses it, or while clients only poll? Memory by role, over time.

``python -m benchmarks.idle_memory --mode idle|polling [--minutes 60] [--rate 50]``: an embedded stack runs one small
job, settles, and is then left alone or asked ``rate`` times a second for that job's status. Every ten seconds each
process's memory is taken. Prints for each role the slope of the largest process over the second half, and its end over
its beginning. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from benchmarks.http_connection import Connection
from benchmarks.process_memory import memory_by_role, mib
from tests.integration.service import RunningStack, create_uploaded, has_ended, ndjson, start, wait_for

_SAMPLE_SECONDS = 10.0
_SETTLE_SECONDS = 45.0
_CONNECTIONS = 10


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--mode", choices=("idle", "polling"), default="idle")
    arguments.add_argument("--minutes", type=float, default=60.0)
    arguments.add_argument("--rate", type=float, default=50.0, help="Polls a second.")
    told = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningStack.start(Path(folder), LABELWORKS_REQUESTS_PER_MINUTE="0") as stack,
        stack.client() as client,
    ):
        job_id = create_uploaded(client, ndjson(["a text"] * 100))
        start(client, job_id)
        wait_for(client, job_id, has_ended)
        time.sleep(_SETTLE_SECONDS)
        rate = told.rate if told.mode == "polling" else 0.0
        samples, polls = asyncio.run(_observe(stack, job_id, rate, told.minutes * 60))
    figures = {}
    print(f"{'':20}{'begin MiB':>10}{'end MiB':>10}{'ratio':>8}{'MiB/h':>9}")
    for role in sorted(set.intersection(*(set(found) for _, found in samples))):
        figures[role] = _trend([(at, found[role]) for at, found in samples])
        begin, end, ratio, slope = figures[role].values()
        print(f"{role:20}{begin:10.1f}{end:10.1f}{ratio:8.3f}{slope:9.1f}")
    print(json.dumps({"mode": told.mode, "minutes": told.minutes, "polls": polls, "roles": figures}))


async def _observe(
    stack: RunningStack, job_id: str, rate: float, seconds: float
) -> tuple[list[tuple[float, dict[str, int]]], int]:
    """The memory by role at each time, and how often the job was polled."""
    until = time.monotonic() + seconds
    connections = range(_CONNECTIONS if rate else 0)
    pollers = [asyncio.create_task(_poll(stack, job_id, _CONNECTIONS / rate, until)) for _ in connections]
    samples = []
    while time.monotonic() < until:
        samples.append((time.monotonic(), await asyncio.to_thread(lambda: memory_by_role(stack.processes()))))
        await asyncio.sleep(_SAMPLE_SECONDS)
    return samples, sum(await asyncio.gather(*pollers))


async def _poll(stack: RunningStack, job_id: str, pause: float, until: float) -> int:
    address = urlsplit(stack.url)
    connection = Connection(address.hostname or "", address.port or 80, stack.api_key)
    polls = 0
    while (began := time.monotonic()) < until:
        answer = await connection.request("GET", f"/v1/batch/{job_id}", None)
        if answer.status != 200:
            raise SystemExit(f"a poll was answered with {answer.status}")
        polls += 1
        await asyncio.sleep(max(began + pause - time.monotonic(), 0))
    connection.close()
    return polls


def _trend(sizes: list[tuple[float, int]]) -> dict[str, float]:
    """MiB at the beginning and end, their ratio, and the slope in MiB an hour over the second half."""
    later = np.array(sizes[len(sizes) // 2 :], np.float64)
    slope = float(np.polyfit(later[:, 0], later[:, 1], 1)[0]) if len(later) > 1 else 0.0
    begin, end = sizes[0][1], sizes[-1][1]
    return {
        "begin_mib": mib(begin),
        "end_mib": mib(end),
        "ratio": round(end / max(begin, 1), 3),
        "mib_per_hour": mib(slope * 3600),
    }


if __name__ == "__main__":
    main()
