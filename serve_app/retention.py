"""What may be removed: jobs that have expired, and objects that no job record speaks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby

from pipelines.job import JobRecord
from pipelines.layout import (
    IDEMPOTENCY_PREFIX,
    INDEX_PREFIX,
    JOBS_PREFIX,
    RECORD_NAME,
    JobPaths,
    job_prefix_of,
    read_index_key,
)
from pipelines.object_store import ListedObject, ObjectStore
from pipelines.settings import Settings
from serve_app.job_repository import JobRepository
from serve_app.job_view import JobView


class Retention:
    """Finds what has outlived its time in the bucket."""

    def __init__(self, store: ObjectStore, repository: JobRepository, settings: Settings) -> None:
        self._store = store
        self._repository = repository
        self._settings = settings

    def expired(self, now: datetime) -> Iterator[tuple[str, str]]:
        """Account and id of every job that is to be removed now, which may be done while the next is looked for. Among
        them are those that are listed and not there: a creation or a deletion was cut off.
        """
        young = now - min(self._settings.pending_retention, self._settings.retention)
        entries = (read_index_key(listed.key) for listed in self._store.list(INDEX_PREFIX))
        old = ((entry.account, entry.job_id) for entry in entries if entry.created_at < young)
        found = self._repository.look_up(old, JobView)
        return (name for name, job in found if job is None or self.is_expired(job, now))

    def is_expired(self, job: JobRecord, now: datetime) -> bool:
        """Whether this job is to be removed now."""
        return is_expired(job, now, self._settings.retention, self._has_upload(job))

    def remove_orphans(self, now: datetime) -> None:
        """Remove uploads begun and never completed, objects of jobs without a record, and old idempotency keys."""
        before = now - self._settings.pending_retention
        self._store.abort_multiparts(JOBS_PREFIX, before=before)
        self._store.delete(*orphans(self._store.list(JOBS_PREFIX), before))
        keys = self._store.list(IDEMPOTENCY_PREFIX)
        self._store.delete(*(listed.key for listed in keys if listed.modified < before))

    def _has_upload(self, job: JobRecord) -> bool:
        return job.status == "pending" and self._store.exists(JobPaths(job.account, job.job_id).input)


def is_expired(job: JobRecord, now: datetime, retention: timedelta, has_upload: bool) -> bool:
    """No job goes before its ``expires_at``, and a pending one with its file no sooner than an ended job would."""
    if job.status == "processing" or job.expires_at is None:
        return False
    if job.status == "pending" and has_upload:
        return max(job.expires_at, job.created_at + retention) <= now
    return job.expires_at <= now


def orphans(listing: Iterable[ListedObject], before: datetime) -> list[str]:
    """Keys, older than ``before``, of jobs that have no record in the listing (which is in lexical order)."""
    found: list[str] = []
    for prefix, group in groupby(listing, key=lambda listed: job_prefix_of(listed.key)):
        objects = list(group)
        if not any(listed.key == prefix + RECORD_NAME for listed in objects):
            found += [listed.key for listed in objects if listed.modified < before]
    return found
