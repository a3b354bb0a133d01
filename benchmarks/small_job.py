"""The fixed cost of a job: 100 texts on a warm stack, from the start call to ``completed``, and where the time goes.

``python -m benchmarks.small_job [--jobs 7] [--texts 100]`` starts the embedded stack in a temporary folder and runs
jobs one after the other. A phase ends when the object that it leaves in the storage is written. Also prints the memory
of the processes that wait, idle, for the next job. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.job_phases import PHASES, timed_job
from benchmarks.texts import generated
from labelworks import Labelworks
from pipelines.object_store import ObjectStore
from pipelines.settings import MIB, Settings
from serve_app.embedded.stack import embedded_stack
from tests.integration.service import descendants

LABELS = ["billing", "bug report", "praise", "feature request"]
_PAUSE_SECONDS = 12.0


def idle_processes() -> dict[str, list[int]]:
    """Proportional set sizes in MiB of this process's descendants that wait for a job, by title."""
    found: dict[str, list[int]] = {}
    for pid in descendants(os.getpid()):
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if title.startswith(("ray::JobDriver", "ray::IDLE")):
            size = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
            found.setdefault(title, []).append(round(size * 1024 / MIB))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--jobs", type=int, default=7)
    arguments.add_argument("--texts", type=int, default=100)
    told = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded_stack(Path(folder)) as stack:
        path = Path(folder) / "input.ndjson"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in generated("mixed", told.texts)))
        client = Labelworks(base_url=stack.url, api_key=stack.api_key)
        store = ObjectStore(Settings())
        runs = []
        print("seconds    total " + " ".join(f"{phase:>10}" for phase in PHASES))
        for _ in range(told.jobs):
            # Users do not start the next job in the moment in which the last one ends.
            time.sleep(_PAUSE_SECONDS)
            runs.append(timed_job(client, store, stack.account, path, labels=LABELS))
            seconds = " ".join(f"{runs[-1].phases[phase]:10.2f}" for phase in PHASES)
            print(f"        {runs[-1].seconds:8.2f} {seconds}", flush=True)
        time.sleep(_PAUSE_SECONDS)
        idle = idle_processes()
    print(f"idle processes, MiB each: {idle}")
    figures = {
        "texts": told.texts,
        "jobs": told.jobs,
        "median_seconds": round(median(run.seconds for run in runs), 2),
        "worst_seconds": round(max(run.seconds for run in runs), 2),
        "phases": {phase: round(median(run.phases[phase] for run in runs), 2) for phase in PHASES},
        "idle_mib": idle,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
