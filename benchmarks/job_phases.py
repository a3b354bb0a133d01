"""One job timed from start to ``completed``, phase by phase: when the objects that phases leave were written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Unpack

from labelworks import Labelworks
from labelworks.types import Task
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore

PHASES = ("start call", "scan", "classify", "join", "completed")


@dataclass(frozen=True, slots=True)
class TimedJob:
    """Seconds by phase, and the job's tokens."""

    phases: Mapping[str, float]
    tokens: int

    @property
    def seconds(self) -> float:
        return sum(self.phases.values())


def timed_job(client: Labelworks, store: ObjectStore, account: str, path: Path, **task: Unpack[Task]) -> TimedJob:
    """Run a job and poll it as clients do: an impatient one takes a good part of a processor from it."""
    job = client.batches.create(**task)
    client.batches.upload(job, path)
    began = time.time()
    client.batches.start(job.job_id)
    called = time.time()
    state = client.batches.wait(job.job_id)
    if state.completed_at is None or state.actual_tokens is None:
        raise SystemExit(f"Job {job.job_id} is completed without a time or its tokens")
    completed = state.completed_at.timestamp()
    return TimedJob(phase_seconds(store, account, job.job_id, began, called, completed), state.actual_tokens)


def phase_seconds(
    store: ObjectStore, account: str, job_id: str, began: float, called: float, completed: float
) -> dict[str, float]:
    """Seconds of each phase of a completed job: its start was called at ``began``, answered at ``called``, and it was
    known to have ended at ``completed`` (seconds of this machine's clock, which is the storage's too).
    """
    paths = JobPaths(account, job_id)
    written = {listed.key: listed.modified.timestamp() for listed in store.list(paths.prefix)}
    last_shard = max(at for key, at in written.items() if key.startswith(paths.shards_prefix))
    ends = [began, called, written[paths.plan], last_shard, written[paths.results], completed]
    return {phase: after - before for phase, (before, after) in zip(PHASES, pairwise(ends), strict=True)}
