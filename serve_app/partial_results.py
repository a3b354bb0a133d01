"""The results of a job that has not completed: its finished shards."""

from __future__ import annotations

from pipelines.exceptions import Conflict
from pipelines.job import JobRecord
from pipelines.job_input import JobInput
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from pipelines.shards import ShardOrigin, finished_shards
from pipelines.stored_plan import load_plan
from serve_app.schemas import PartialResults, ResultPart


def partial_results(store: ObjectStore, job: JobRecord, settings: Settings) -> PartialResults:
    """Links to the finished shards, in input order. Raises Conflict for a job that was never started."""
    if job.input is None:
        raise Conflict(f"Job {job.job_id} is {job.status}; it has no results before it is started.", status=job.status)
    paths = JobPaths(job.account, job.job_id)
    plan = load_plan(store, JobInput(paths, job.input))
    finished = finished_shards(store, paths, ShardOrigin(job.input.etag, plan.engine)) if plan else {}
    return PartialResults(
        job_id=job.job_id,
        status=job.status,
        parts=[
            ResultPart(
                first_item=planned.first_item,
                items=planned.items,
                download_url=store.presign_download(
                    paths.shard(planned.index),
                    filename=f"{job.job_id}-{planned.index:05d}.ndjson",
                    seconds=settings.download_url_seconds,
                ),
            )
            for planned in (plan.ranges if plan else ())
            if planned.index in finished
        ],
    )
