"""Throughput on 1, 2, 4 and 8 nodes with two classifiers each against the ideal line.

``python -m benchmarks.scaling [--nodes 1 2 4 8]``: real Ray nodes on this machine, and an engine that sleeps, so that
two cores can show how the service scales. Once one large job, once many small ones at a time. Ideal is that every
classifier is asleep in its engine all the time. ``classifying`` leaves out what comes before the first and after the
last text: starting processes, which here share two cores however many nodes they stand for. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.sleeping_engine import SECONDS_PER_TEXT
from labelworks import Labelworks
from tests.integration.service import RunningStack

_CLASSIFIERS_PER_NODE = 2
_TEXTS_PER_SECOND = 100
_RANGE_SECONDS = 2
_LINE = '{"text": "%s"}\n' % ("x" * 68)
_POLL_SECONDS = 0.5
_POLLS_PER_SECOND = 10
"""At most, of all jobs together: a hundred a second would take both processors."""
_IDLE_SECONDS = 5.0
_MOST_SETTLE_SECONDS = 180.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments.add_argument("--seconds", type=int, default=40, help="What a classifier has to do of the large job.")
    arguments.add_argument("--small-seconds", type=int, default=10, help="What a small job takes one classifier.")
    told = arguments.parse_args()
    measured = [_measure(nodes, told.seconds, told.small_seconds) for nodes in told.nodes]
    print(json.dumps({"measured": measured}))


def _measure(nodes: int, seconds: int, small_seconds: int) -> dict[str, float]:
    classifiers = nodes * _CLASSIFIERS_PER_NODE
    with (
        tempfile.TemporaryDirectory() as name,
        RunningStack.start(
            Path(name), program=["tests.chaos.node_cluster", "--nodes", str(nodes)], **_settings(classifiers)
        ) as stack,
    ):
        folder = Path(name)
        _settle()
        clients = _clients(stack, 2 * classifiers)
        large = _Run(clients[0], _file(folder / "large.ndjson", classifiers * seconds), 1)
        large.run()
        figures: dict[str, float] = {
            "nodes": nodes,
            "classifiers": classifiers,
            "large_job_of_ideal": round(seconds / (large.ended - large.started), 3),
            "large_classifying_of_ideal": round(large.steady_rate() / (classifiers * _TEXTS_PER_SECOND), 3),
        }
        print(figures, flush=True)
        _settle()
        small_file = _file(folder / "small.ndjson", small_seconds)
        runs = [_Run(client, small_file, len(clients)) for client in clients]
        with ThreadPoolExecutor(len(runs)) as threads:
            list(threads.map(_Run.run, runs))
    wall = max(run.ended for run in runs) - min(run.started for run in runs)
    figures |= {
        "small_jobs": len(runs),
        "small_jobs_of_ideal": round(2 * small_seconds / wall, 3),
        "small_jobs_per_minute": round(60 * len(runs) / wall, 1),
    }
    print(figures, flush=True)
    return figures


class _Run:
    """One of so many ``jobs`` at once; ``seen`` are (time, items answered) of every poll."""

    def __init__(self, client: Labelworks, path: Path, jobs: int) -> None:
        self._client = client
        self._path = path
        self._poll_seconds = max(_POLL_SECONDS, jobs / _POLLS_PER_SECOND)
        self._total = path.stat().st_size // len(_LINE)
        self.started = self.ended = 0.0
        self.seen: list[tuple[float, int]] = []

    def run(self) -> None:
        job = self._client.batches.create(labels=["a", "b"])
        self._client.batches.upload(job, self._path)
        self.started = time.time()
        self._client.batches.start(job.job_id)
        while (state := self._client.batches.retrieve(job.job_id)).status == "processing":
            self.seen.append((time.time(), state.requests_completed))
            time.sleep(self._poll_seconds)
        if state.status != "completed" or state.completed_at is None:
            raise SystemExit(f"A job ended as {state.status}: {state.error}")
        # This machine's clock too; the last poll may have come seconds later.
        self.ended = state.completed_at.timestamp()

    def steady_rate(self) -> float:
        """Texts a second between a quarter and nine tenths of the job, when all classifiers are up and busy."""
        middle = [(at, done) for at, done in self.seen if 0.25 * self._total <= done <= 0.9 * self._total]
        (first_at, first), (last_at, last) = middle[0], middle[-1]
        return (last - first) / (last_at - first_at)


def _settle() -> None:
    """Wait until starting processes leave the processors half idle: a real cluster's nodes have their own."""
    deadline = time.monotonic() + _MOST_SETTLE_SECONDS
    idle = 0.0
    while idle < 0.5 and time.monotonic() < deadline:
        before = _idle_seconds()
        time.sleep(_IDLE_SECONDS)
        idle = (_idle_seconds() - before) / (_IDLE_SECONDS * (os.cpu_count() or 1))


def _idle_seconds() -> float:
    """How long the processors have been idle since the machine started, added up."""
    return float(Path("/proc/uptime").read_text().split()[1])


def _settings(classifiers: int) -> dict[str, str]:
    return {
        "LABELWORKS_MODELS": '["benchmarks.sleeping_engine"]',
        SECONDS_PER_TEXT: str(1 / _TEXTS_PER_SECOND),
        "LABELWORKS_CLASSIFIER_CPUS": "0.4",
        # One more, since one is kept for small jobs while a large one runs, and no more than one.
        "LABELWORKS_CPU_CLASSIFIER_SLOTS": str(classifiers + 1),
        "LABELWORKS_KEPT_SLOTS_SHARE": "0",
        "LABELWORKS_CLASSIFIERS_PER_JOB": str(classifiers),
        "LABELWORKS_RANGE_MIN_BYTES": str(_RANGE_SECONDS * _TEXTS_PER_SECOND * len(_LINE)),
        "LABELWORKS_RANGES_PER_JOB": "100000",
        "RAY_worker_niceness": "0",
        # As cluster.yaml has it.
        "RAY_idle_worker_killing_time_threshold_ms": "60000",
        # Of idle processes Ray keeps one a CPU, and nodes here have one CPU; real ones have more.
        "RAY_num_workers_soft_limit": "6",
    }


def _file(path: Path, classifier_seconds: int) -> Path:
    path.write_text(_LINE * (classifier_seconds * _TEXTS_PER_SECOND))
    return path


def _clients(stack: RunningStack, count: int) -> list[Labelworks]:
    """One an account, since an account has one processing job at a time."""
    return [Labelworks(base_url=stack.url, api_key=stack.new_key(f"account-{number}")) for number in range(count)]


if __name__ == "__main__":
    main()
