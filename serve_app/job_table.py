"""What the registry holds in memory: all jobs that are processing, and a view of the others that it heard of last."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.job import JobRecord
from serve_app.exceptions import JobNotFound
from serve_app.job_view import JobView
from serve_app.recently_used import RecentlyUsed

_CACHED_JOBS = 10_000


class JobTable:
    """Knows no storage: what is put into it has been stored."""

    def __init__(self) -> None:
        self.active: dict[str, JobRecord] = {}
        """The processing jobs, by id."""
        self._others: RecentlyUsed[str, JobView] = RecentlyUsed(_CACHED_JOBS)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self.active or job_id in self._others

    def load(self, active: Iterable[JobRecord]) -> None:
        self.active = {job.job_id: job for job in active}

    def put(self, job: JobRecord) -> None:
        """Of the jobs that are not processing, those heard of or asked for longest ago are forgotten."""
        if job.status == "processing":
            self.active[job.job_id] = job
            self._others.remove(job.job_id)
            return
        self.active.pop(job.job_id, None)
        self._others.put(job.job_id, JobView.of(job))

    def remove(self, job_id: str) -> None:
        """For a job that is not processing."""
        self._others.remove(job_id)

    def find(self, job_id: str) -> JobView | None:
        active = self.active.get(job_id)
        return self._others.get(job_id) if active is None else JobView.of(active)

    def of_account(self, account: str, job_id: str) -> JobView:
        """Raises JobNotFound, also for another account's job."""
        job = self.find(job_id)
        if job is None or job.account != account:
            raise JobNotFound(f"There is no job {job_id}.")
        return job
