"""An account's latest jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from serve_app.exceptions import JobNotFound, RecordUnreadable
from serve_app.job_repository import JobRepository
from serve_app.job_view import JobView
from serve_app.storage_places import StoragePlaces

# So many places for each job asked for are looked at: a creation that was cut off leaves one without a job.
_PLACES_A_JOB = 5


class JobList:
    """``get`` gives a job by account and id. Lives in the registry's event loop."""

    def __init__(
        self, repository: JobRepository, places: StoragePlaces, get: Callable[[str, str], Awaitable[JobView]]
    ) -> None:
        self._repository = repository
        self._places = places
        self._get = get

    async def newest(self, account: str, limit: int) -> list[JobView]:
        """The account's latest jobs, newest first, without those whose record cannot be read. Raises as ``get`` does,
        or StorageUnavailable.
        """
        jobs: list[JobView] = []
        for wanted in (limit, limit * _PLACES_A_JOB):
            with self._places.place():
                ids = await asyncio.to_thread(self._repository.newest, account, wanted)
            jobs = await self._first_of(account, ids, limit)
            if len(jobs) == limit or len(ids) < wanted:
                break
        return jobs

    async def _first_of(self, account: str, ids: Sequence[str], limit: int) -> list[JobView]:
        jobs: list[JobView] = []
        for start in range(0, len(ids), limit):
            some = ids[start : start + limit]
            found = await asyncio.gather(*(self._get(account, job_id) for job_id in some), return_exceptions=True)
            for outcome in found:
                if isinstance(outcome, BaseException) and not isinstance(outcome, JobNotFound | RecordUnreadable):
                    raise outcome
            jobs += [outcome for outcome in found if isinstance(outcome, JobView)]
            if len(jobs) >= limit:
                break
        return jobs[:limit]
