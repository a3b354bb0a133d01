"""What the registry holds in memory: all jobs that are processing, and a view of the others that it heard of last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from pipelines.job import JobRecord
from serve_app.exceptions import JobNotFound
from serve_app.job_view import JobView

_CACHED_JOBS = 10_000


class JobTable:
    """Knows no storage: what is put into it has been stored."""

    def __init__(self) -> None:
        self.active: dict[str, JobRecord] = {}
        """The processing jobs, by id."""
        self._others: OrderedDict[str, JobView] = OrderedDict()

    def __contains__(self, job_id: object) -> bool:
        return job_id in self.active or job_id in self._others

    def load(self, active: Iterable[JobRecord]) -> None:
        self.active = {job.job_id: job for job in active}

    def put(self, job: JobRecord) -> None:
        """Of the jobs that are not processing, those that were put in longest ago are forgotten."""
        if job.status == "processing":
            self.active[job.job_id] = job
            self._others.pop(job.job_id, None)
            return
        self.active.pop(job.job_id, None)
        self._others[job.job_id] = JobView.of(job)
        self._others.move_to_end(job.job_id)
        while len(self._others) > _CACHED_JOBS:
            self._others.popitem(last=False)

    def remove(self, job_id: str) -> None:
        """For a job that is not processing."""
        self._others.pop(job_id, None)

    def find(self, job_id: str) -> JobView | None:
        active = self.active.get(job_id)
        return self._others.get(job_id) if active is None else JobView.of(active)

    def of_account(self, account: str, job_id: str) -> JobView:
        """Raises JobNotFound, also for another account's job."""
        job = self.find(job_id)
        if job is None or job.account != account:
            raise JobNotFound(f"There is no job {job_id}.")
        return job
