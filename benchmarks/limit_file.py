"""A file at the limit through upload, scan, classify, join and download: does any process grow with the file?

``python -m benchmarks.limit_file [--gigabytes 5] [--engine static]``: an embedded stack in a temporary folder runs a
job of 50 MB and then one of the file's size, with a cheap engine, and samples every process each second. Prints the
peak of each role's largest process and the ratio of the two jobs; fails where a result has not one line an item. Needs
about four times the file's size of free disk. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.process_memory import OBJECT_STORE, PeakMemory, mib
from benchmarks.texts import generated
from labelworks import Labelworks
from tests.integration.service import RunningStack

LABELS = ["billing", "bug report", "praise", "feature request"]
_SMALL_BYTES = 50 * 1000 * 1000
_GOAL = 1.2
_DISK_TIMES = 4.0
_TEXTS_IN_TURN = 20_000
_SETTLE_SECONDS = 10.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--gigabytes", type=float, default=5.0, help="Of 2^30 bytes; the service's limit is 5.")
    arguments.add_argument("--engine", default="static")
    arguments.add_argument("--folder", type=Path, help="Where to make the temporary folder; none: the system's place.")
    told = arguments.parse_args()
    size = int(told.gigabytes * 2**30)
    free = shutil.disk_usage(told.folder or tempfile.gettempdir()).free
    if free < _DISK_TIMES * size + _SMALL_BYTES:
        raise SystemExit(f"{free / 2**30:.0f} GiB are free, and {_DISK_TIMES:.0f} times the file's size is needed.")
    with (
        tempfile.TemporaryDirectory(dir=told.folder) as name,
        RunningStack.start(Path(name), LABELWORKS_MODELS=json.dumps([told.engine])) as stack,
        Labelworks(base_url=stack.url, api_key=stack.api_key) as client,
    ):
        measured = []
        for each in (_SMALL_BYTES, size):
            time.sleep(_SETTLE_SECONDS)
            measured.append(_run(client, stack, Path(name) / "input.ndjson", each))
            print(measured[-1], flush=True)
    small, large = (run["peak_mib"] for run in measured)
    ratios = {role: round(large[role] / small[role], 2) for role in sorted(small.keys() & large.keys())}
    print(f"{'':20}{'50 MB':>10}{f'{told.gigabytes} GiB':>10}{'ratio':>8}")
    for role, ratio in ratios.items():
        print(f"{role:20}{small[role]:10.1f}{large[role]:10.1f}{ratio:8.2f}")
    over = sorted(role for role, ratio in ratios.items() if ratio > _GOAL and role != OBJECT_STORE)
    print(f"over {_GOAL} times: {', '.join(over) or 'none'}")
    print(json.dumps({"gigabytes": told.gigabytes, "engine": told.engine, "runs": measured, "ratios": ratios}))


def _run(client: Labelworks, stack: RunningStack, path: Path, size: int) -> dict[str, Any]:
    """One job from its file to its counted result lines, and the peaks meanwhile."""
    items = _write(path, size)
    seconds = {}
    with PeakMemory(stack.processes) as memory, PeakMemory(lambda: [os.getpid()]) as own:
        job = client.batches.create(labels=LABELS)
        began = time.monotonic()
        client.batches.upload(job, path)
        seconds["upload"] = time.monotonic() - began
        size = path.stat().st_size
        path.unlink()
        client.batches.start(job.job_id)
        began = time.monotonic()
        state = client.batches.wait(job.job_id)
        seconds["job"] = time.monotonic() - began
        began = time.monotonic()
        lines = sum(piece.count(b"\n") for piece in client.batches.raw_results(job.job_id))
        seconds["download"] = time.monotonic() - began
    if not lines == items == state.requests_completed:
        raise SystemExit(f"{items} items, {state.requests_completed} completed, but {lines} result lines")
    client.batches.delete(job.job_id)
    peaks = memory.peaks | {"client": own.peaks["stack"]}
    return {
        "bytes": size,
        "items": items,
        "tokens": state.actual_tokens,
        "seconds": {phase: round(took, 1) for phase, took in seconds.items()},
        "peak_mib": {role: mib(peak) for role, peak in sorted(peaks.items())},
    }


def _write(path: Path, size: int) -> int:
    """A file of about ``size`` bytes, not more; the number of its lines."""
    lines = [json.dumps({"text": text}).encode() + b"\n" for text in generated("mixed", _TEXTS_IN_TURN)]
    block = b"".join(lines)
    blocks, rest = divmod(size, len(block))
    with path.open("wb") as file:
        for _ in range(blocks):
            file.write(block)
        kept = block[:rest][: block[:rest].rfind(b"\n") + 1]
        file.write(kept)
    return blocks * len(lines) + kept.count(b"\n")


if __name__ == "__main__":
    main()
