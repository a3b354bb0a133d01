"""How long each phase of a job took, by when the objects that the phases leave in the storage were written."""

from __future__ import annotations

from itertools import pairwise

from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore

PHASES = ("start call", "scan", "classify", "join", "completed")


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
