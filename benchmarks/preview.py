"""Preview calls under 1, 4 and 16 callers, against the same engine called for one text after another in a process.

``python -m benchmarks.preview [--seconds 5] [--callers 1 4 16]`` starts the embedded stack in a temporary folder. Each
caller sends its next call when the last one is answered, never the same text twice: calls of one text, then batch
calls of 1,000. The engine alone runs before and after, in this process and with the threads of a preview replica. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import tempfile
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.http_connection import Connection
from benchmarks.texts import generated
from models.task import ClassificationTask
from pipelines.engines import engine_for
from pipelines.settings import Settings
from tests.integration.service import RunningStack

_LABELS = ["billing", "bug report", "praise", "feature request"]
_BATCH_TEXTS = 1000
_WARM_UP_CALLS = 20
_BARE_TEXTS = 500


def texts() -> Iterator[str]:
    """Short ones without end, all different."""
    kept = generated("short", 10_000)
    return (f"{kept[number % len(kept)]} ({number})" for number in count())


def bare_engine(seconds: float) -> dict[str, float]:
    """One text after another: what a loop over the engine gives whoever writes one."""
    settings = Settings()
    engine = engine_for(settings, settings.default_model, settings.preview_threads)
    classifier = engine.bind(ClassificationTask(labels=tuple(_LABELS)))
    source = texts()
    classifier.classify(list(islice(source, _BARE_TEXTS)))
    took: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        took.append(_seconds_of(lambda: classifier.classify([next(source)])))
    whole = list(islice(source, _BATCH_TEXTS))
    in_bulk = _seconds_of(lambda: classifier.classify(whole))
    return {
        **_quantiles(took),
        "texts_per_second": round(len(took) / sum(took), 1),
        "texts_per_second_in_bulk": round(_BATCH_TEXTS / in_bulk, 1),
    }


async def measure(url: str, api_key: str, callers: int, texts_a_call: int, seconds: float) -> dict[str, Any]:
    """So many callers at once, each with calls of so many texts."""
    source = texts()
    address = urlsplit(url)
    took: list[float] = []

    async def call(connection: Connection) -> float:
        wanted = list(islice(source, texts_a_call))
        path, body = (
            ("/v1/classify", {"text": wanted[0]}) if texts_a_call == 1 else ("/v1/classify/batch", {"texts": wanted})
        )
        began = time.perf_counter()
        answer = await connection.request("POST", path, {"labels": _LABELS, "cache": False, **body})
        if answer.status != 200:
            raise SystemExit(f"A preview call was answered with {answer.status}: {answer.body.decode()[:300]}")
        return time.perf_counter() - began

    async def caller(until: float) -> None:
        connection = Connection(address.hostname or "", address.port or 80, api_key)
        while time.perf_counter() < until:
            took.append(await call(connection))
        connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(caller(began + seconds) for _ in range(callers)))
    passed = time.perf_counter() - began
    return {
        "callers": callers,
        "texts_a_call": texts_a_call,
        "texts_per_second": round(len(took) * texts_a_call / passed, 1),
        **_quantiles(took),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--seconds", type=float, default=5.0)
    arguments.add_argument("--callers", type=int, nargs="+", default=[1, 4, 16])
    told = arguments.parse_args()
    measured = []
    bare = [bare_engine(told.seconds)]
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningStack.start(Path(folder), LABELWORKS_REQUESTS_PER_MINUTE="0") as stack,
        stack.client() as client,
    ):
        first = _seconds_of(
            lambda: client.post("/v1/classify", json={"text": "x", "labels": _LABELS}).raise_for_status()
        )
        for number in range(_WARM_UP_CALLS):
            client.post("/v1/classify", json={"text": f"x {number}", "labels": _LABELS}).raise_for_status()
        for texts_a_call in (1, _BATCH_TEXTS):
            for callers in told.callers:
                measured.append(asyncio.run(measure(stack.url, stack.api_key, callers, texts_a_call, told.seconds)))
                print(measured[-1], flush=True)
    bare.append(bare_engine(told.seconds))
    print("the engine, one text after another:", bare, flush=True)
    one_by_one = sum(each["texts_per_second"] for each in bare) / len(bare)
    for each in measured:
        each["ratio_to_one_after_another"] = round(each["texts_per_second"] / one_by_one, 2)
    print(json.dumps({"first_call_seconds": round(first, 1), "engine": bare, "measured": measured}))


def _seconds_of(action: Any) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {f"p{part}_ms": round(1000 * ordered[math.ceil(part / 100 * len(ordered)) - 1], 1) for part in (50, 99)}


if __name__ == "__main__":
    main()
