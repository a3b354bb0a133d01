"""The API under rising load while a job runs: how many requests a second, how late the slowest are, what gives first.

``python -m benchmarks.api_load [--seconds 5] [--clients 1 4 16 64 256]``: each client sends its next request when the
last one is answered: 18 polls of the running job, one list, one create. The job's engine sleeps, so that the API has
the processors to itself but for this program, whose own share is printed. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.http_connection import Connection
from benchmarks.sleeping_engine import SECONDS_PER_TEXT
from tests.integration.service import RunningStack, create_uploaded, ndjson, start

_POLLS_PER_LIST = 18
_TIMEOUT_SECONDS = 30.0
_P99_LIMIT = 0.05
_PAUSE_SECONDS = 2.0
_REFUSED = (429, 503)
_TASK = {"labels": ["billing", "bug report", "praise"]}


@dataclass
class Load:
    """What a number of clients saw; ``seconds`` by kind of call, of those that were carried out."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[int] = field(default_factory=Counter)
    refused_without_retry_after: int = 0
    broken: Counter[str] = field(default_factory=Counter)

    async def client(self, connection: Connection, job_id: str, until: float) -> None:
        calls = [("poll", "GET", f"/v1/batch/{job_id}", None)] * _POLLS_PER_LIST
        calls += [("list", "GET", "/v1/batch", None), ("create", "POST", "/v1/batch", _TASK)]
        for kind, method, path, body in cycle(calls):
            began = time.perf_counter()
            if began > until:
                connection.close()
                return
            try:
                answer = await asyncio.wait_for(connection.request(method, path, body), _TIMEOUT_SECONDS)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.broken[type(error).__name__] += 1
                connection.close()
                continue
            self.statuses[answer.status] += 1
            if answer.status in _REFUSED:
                self.refused_without_retry_after += "retry-after" not in answer.headers
                # A client that is told to wait waits, if not as long as it was told.
                await asyncio.sleep(0.1)
            else:
                self.seconds[kind].append(time.perf_counter() - began)


async def measure(url: str, api_key: str, job_id: str, clients: int, seconds: float) -> dict[str, Any]:
    address = urlsplit(url)
    load = Load()
    began, processor = time.perf_counter(), time.process_time()
    connections = [Connection(address.hostname or "", address.port or 80, api_key) for _ in range(clients)]
    await asyncio.gather(*(load.client(connection, job_id, began + seconds) for connection in connections))
    took = time.perf_counter() - began
    answered = sum(len(each) for each in load.seconds.values())
    return {
        "clients": clients,
        "requests_per_second": round(answered / took, 1),
        "p50_ms": {kind: _milliseconds(each, 0.5) for kind, each in load.seconds.items()},
        "p99_ms": {kind: _milliseconds(each, 0.99) for kind, each in load.seconds.items()},
        "statuses": dict(load.statuses),
        "refused_without_retry_after": load.refused_without_retry_after,
        "broken": dict(load.broken),
        "this_programs_processor_share": round((time.process_time() - processor) / took, 2),
    }


def _milliseconds(seconds: list[float], quantile: float) -> float:
    return round(1000 * sorted(seconds)[math.ceil(quantile * len(seconds)) - 1], 1)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--seconds", type=float, default=5.0)
    arguments.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64, 256])
    told = arguments.parse_args()
    settings = {
        "LABELWORKS_MODELS": '["benchmarks.sleeping_engine"]',
        SECONDS_PER_TEXT: "1",
        # What the service can carry, not what one key may ask of it.
        "LABELWORKS_REQUESTS_PER_MINUTE": "0",
    }
    measured = []
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningStack.start(Path(folder), **settings) as stack,
        stack.client() as client,
    ):
        job_id = create_uploaded(client, ndjson(["a text"] * 100_000))
        start(client, job_id)
        time.sleep(5 * _PAUSE_SECONDS)
        for clients in told.clients:
            measured.append(asyncio.run(measure(stack.url, stack.api_key, job_id, clients, told.seconds)))
            print(measured[-1], flush=True)
            time.sleep(_PAUSE_SECONDS)
        client.post(f"/v1/batch/{job_id}/cancel").raise_for_status()
    within = [each for each in measured if max(each["p99_ms"].values(), default=math.inf) <= 1000 * _P99_LIMIT]
    polls = [each for each in measured if each["p99_ms"].get("poll", math.inf) <= 1000 * _P99_LIMIT]
    print(
        json.dumps(
            {
                "requests_per_second_with_every_p99_under_50_ms": _most(within),
                "requests_per_second_with_polls_p99_under_50_ms": _most(polls),
                "measured": measured,
            }
        )
    )


def _most(measured: list[dict[str, Any]]) -> float:
    return max((float(each["requests_per_second"]) for each in measured), default=0.0)


if __name__ == "__main__":
    main()
