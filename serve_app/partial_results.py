"""The results of a job that has not completed: its finished shards."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from pipelines.exceptions import Conflict, Unavailable
from pipelines.job import JobRecord
from pipelines.job_input import JobInput
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from pipelines.shards import ShardOrigin, finished_shards
from pipelines.stored_plan import load_plan
from serve_app.schemas import PartialResults, ResultPart

_THREADS = 2
_WAITING = 8


class PartialResultsReader:
    """Reads them on behalf of one API replica, in threads of its own: a large job's take as long as thousands of other
    calls, which must not wait for them.
    """

    def __init__(self, store: ObjectStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, "partial-results")
        self._asked_for = 0

    async def read(self, job: JobRecord) -> PartialResults:
        """Raises as ``partial_results`` does, and Unavailable where several wait already."""
        if self._asked_for >= _THREADS + _WAITING:
            raise Unavailable("Partial results of many jobs are asked for at this moment. Try again shortly.")
        self._asked_for += 1
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._threads, partial_results, self._store, job, self._settings)
        reading.add_done_callback(self._done)
        # Its thread works on, whether or not the caller waits.
        return await asyncio.shield(reading)

    def _done(self, _: asyncio.Future[PartialResults]) -> None:
        self._asked_for -= 1


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
