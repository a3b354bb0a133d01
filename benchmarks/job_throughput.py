"""A whole job through the API against the bare engine: the same texts, model and cores in the same run.

``python -m benchmarks.job_throughput [--engine minilm] [--kind short] [--texts 20000]`` starts the embedded stack in a
temporary folder, runs a small job for the fixed cost and a large one for the speed, times ``engine.classify`` on the
large one's texts in a process of its own before and after, and prints the ratio. ``LABELWORKS_MODEL_WEIGHTS`` counts
for both; on a machine with a GPU, which the bare engine takes, set ``LABELWORKS_CLASSIFIER_GPUS`` too. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.job_phases import timed_job
from benchmarks.texts import generated
from labelworks import Labelworks
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.embedded.stack import embedded_stack

LABELS = ["billing", "bug report", "praise", "feature request"]
_SETTLE_SECONDS = 8.0


def bare_engine(engine: str, items: list[str]) -> dict[str, Any]:
    """Seconds and tokens of the engine alone on the same texts, loaded and warm."""
    from models.task import ClassificationTask
    from pipelines.engines import engine_for

    classifier = engine_for(Settings(), engine).bind(ClassificationTask(labels=tuple(LABELS)))
    classifier.classify(items[:200])
    began = time.perf_counter()
    predictions = classifier.classify(items)
    return {"seconds": time.perf_counter() - began, "tokens": sum(each.tokens for each in predictions)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--engine", default="minilm")
    arguments.add_argument("--kind", default="short", help="short, mixed or long texts")
    arguments.add_argument("--texts", type=int, default=20_000)
    arguments.add_argument("--once", action="store_true", help="Time the bare engine after the job only.")
    arguments.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    told = arguments.parse_args()
    items = generated(told.kind, told.texts)
    os.environ["LABELWORKS_MODELS"] = json.dumps([told.engine])
    if told.bare:
        print(json.dumps(bare_engine(told.engine, items)))
        return
    bare = [] if told.once else [_bare_in_a_process()]
    # Ray would have its workers give way to everything else on the machine, which the bare engine does not.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray spells it so
    with tempfile.TemporaryDirectory() as name, embedded_stack(Path(name)) as stack:
        client = Labelworks(base_url=stack.url, api_key=stack.api_key)
        store = ObjectStore(Settings())
        small = _file(Path(name) / "small.ndjson", generated("mixed", 100))
        timed_job(client, store, stack.account, small, labels=LABELS, model=told.engine)
        time.sleep(_SETTLE_SECONDS)
        fixed = timed_job(client, store, stack.account, small, labels=LABELS, model=told.engine)
        time.sleep(_SETTLE_SECONDS)
        large = _file(Path(name) / "large.ndjson", items)
        whole = timed_job(client, store, stack.account, large, labels=LABELS, model=told.engine)
        print(f"{told.texts} {told.kind} texts, start to completed: {whole.seconds:.1f} s", flush=True)
    bare.append(_bare_in_a_process())
    bare_rate = sum(run["tokens"] for run in bare) / sum(run["seconds"] for run in bare)
    rate = whole.tokens / whole.seconds
    print(f"100 texts, start to completed: {fixed.seconds:.1f} s")
    print(
        f"{told.texts} {told.kind} texts: bare {told.engine} {bare_rate:,.0f} tokens/s, whole job {rate:,.0f} tokens/s"
    )
    print(
        json.dumps(
            {
                "engine": told.engine,
                "kind": told.kind,
                "texts": told.texts,
                "tokens": whole.tokens,
                "small_job_seconds": round(fixed.seconds, 2),
                "job_seconds": round(whole.seconds, 2),
                "phases": {phase: round(seconds, 2) for phase, seconds in whole.phases.items()},
                "bare_seconds": [round(run["seconds"], 2) for run in bare],
                "bare_tokens_per_second": round(bare_rate),
                "job_tokens_per_second": round(rate),
                "ratio": round(rate / bare_rate, 3),
            }
        )
    )


def _bare_in_a_process() -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.job_throughput", *sys.argv[1:], "--bare"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _file(path: Path, items: list[str]) -> Path:
    with path.open("w") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in items)
    return path


if __name__ == "__main__":
    main()
