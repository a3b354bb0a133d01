"""A whole job through the API against the bare engine: the same texts, model and cores in the same run.

``python -m benchmarks.job_throughput [--texts 20000]`` starts the embedded stack in a temporary folder, runs a small
job for the fixed cost and a large one for the speed, times ``engine.classify`` on the large one's texts in a process
of its own, and prints the ratio. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.texts import generated
from labelworks import Labelworks
from serve_app.embedded.stack import embedded_stack

LABELS = ["billing", "bug report", "praise", "feature request"]


def run_job(client: Labelworks, folder: Path, items: list[str]) -> dict[str, Any]:
    """Seconds from start to completed, and the tokens of one job."""
    path = folder / "input.ndjson"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in items))
    job = client.batches.create(labels=LABELS)
    client.batches.upload(job, path)
    began = time.perf_counter()
    client.batches.start(job.job_id)
    while (state := client.batches.retrieve(job.job_id)).status == "processing":
        time.sleep(0.05)
    return {"seconds": time.perf_counter() - began, "tokens": state.actual_tokens}


def bare_engine(count: int) -> dict[str, Any]:
    """Seconds and tokens of the engine alone on the same texts, loaded and warm."""
    from models.registry import load_engine
    from models.task import ClassificationTask

    classifier = load_engine("minilm").bind(ClassificationTask(labels=tuple(LABELS)))
    items = generated("mixed", count)
    classifier.classify(items[:200])
    began = time.perf_counter()
    predictions = classifier.classify(items)
    return {"seconds": time.perf_counter() - began, "tokens": sum(each.tokens for each in predictions)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--texts", type=int, default=20_000)
    arguments.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    told = arguments.parse_args()
    if told.bare:
        print(json.dumps(bare_engine(told.texts)))
        return
    bare = json.loads(
        subprocess.run(
            [sys.executable, "-m", "benchmarks.job_throughput", "--bare", "--texts", str(told.texts)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()[-1]
    )
    with tempfile.TemporaryDirectory() as folder, embedded_stack(Path(folder)) as stack:
        client = Labelworks(base_url=stack.url, api_key=stack.api_key)
        run_job(client, Path(folder), generated("mixed", 100))
        small = run_job(client, Path(folder), generated("mixed", 100))
        large = run_job(client, Path(folder), generated("mixed", told.texts))
    rates = {name: run["tokens"] / run["seconds"] for name, run in (("bare", bare), ("job", large))}
    print(f"100 texts, start to completed: {small['seconds']:.1f} s")
    print(f"{told.texts} texts: bare engine {rates['bare']:,.0f} tokens/s, whole job {rates['job']:,.0f} tokens/s")
    print(
        json.dumps(
            {
                "texts": told.texts,
                "tokens": large["tokens"],
                "small_job_seconds": round(small["seconds"], 2),
                "job_seconds": round(large["seconds"], 2),
                "bare_tokens_per_second": round(rates["bare"]),
                "job_tokens_per_second": round(rates["job"]),
                "ratio": round(rates["job"] / rates["bare"], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
