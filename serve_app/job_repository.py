"""Job records in the object storage: the truth that every cache is made from."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from pipelines.exceptions import JobNotFound, ObjectMissing, RegistrySuperseded
from pipelines.job import JobRecord
from pipelines.layout import ACTIVE_PREFIX, REGISTRY_EPOCH_KEY, JobPaths, index_key, index_prefix
from pipelines.object_store import ObjectStore

_LOAD_THREADS = 16


class JobRepository:
    """Reads and writes job records on behalf of one registry, whose epoch every record carries.

    Raises RegistrySuperseded on a write once a newer registry has claimed the bucket.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._holder = uuid.uuid4().hex
        self.epoch = 0

    def claim(self) -> None:
        """Become the one that may write. The last of several claimants wins; the others find out on writing."""
        try:
            claimed = json.loads(self._store.get(REGISTRY_EPOCH_KEY))["epoch"]
        except ObjectMissing:
            claimed = 0
        self.epoch = claimed + 1
        claim = json.dumps({"epoch": self.epoch, "holder": self._holder})
        self._store.put(REGISTRY_EPOCH_KEY, claim.encode())

    def create(self, job: JobRecord) -> JobRecord:
        """Store a new job and its place in the account's list."""
        # The marker first: one without a record is skipped, a record without one would be lost.
        self._require_claim()
        self._store.put(index_key(job.account, job.job_id, job.created_at), b"")
        return self.save(job)

    def save(self, job: JobRecord) -> JobRecord:
        """Store the record, and keep the marker of a processing job in step with it."""
        self._require_claim()
        paths = JobPaths(job.account, job.job_id)
        stamped = job.model_copy(update={"epoch": self.epoch})
        if job.status == "processing":
            self._store.put(paths.active_marker, b"")
        self._store.put(paths.record, stamped.model_dump_json().encode())
        if job.status != "processing":
            self._store.delete(paths.active_marker)
        return stamped

    def load(self, account: str, job_id: str) -> JobRecord:
        """Raises JobNotFound."""
        try:
            key = JobPaths(account, job_id).record
        except ValueError as error:
            raise JobNotFound(f"There is no job {job_id[:50]}.") from error
        try:
            return JobRecord.model_validate_json(self._store.get(key))
        except ObjectMissing as error:
            raise JobNotFound(f"There is no job {job_id}.") from error

    def newest(self, account: str, limit: int) -> list[str]:
        """Ids of the account's latest jobs, newest first."""
        keys = [key for key, _ in self._store.list(index_prefix(account), limit=limit)]
        return [key.rsplit("-", 1)[1] for key in keys]

    def active(self) -> list[JobRecord]:
        """Every job that was processing when its record was last written."""
        names = [key.removeprefix(ACTIVE_PREFIX).split("/") for key, _ in self._store.list(ACTIVE_PREFIX)]
        return [job for job in self._load_all(names) if job.status == "processing"]

    def delete(self, job: JobRecord) -> None:
        """Remove every object of the job; the record goes late, so that a cut-off deletion can be repeated."""
        self._require_claim()
        paths = JobPaths(job.account, job.job_id)
        self._store.delete(*(key for key, _ in self._store.list(paths.prefix) if key != paths.record))
        self._store.delete(paths.record, paths.active_marker)
        self._store.delete(index_key(job.account, job.job_id, job.created_at))

    def _load_all(self, names: Iterable[list[str]]) -> list[JobRecord]:
        def load(name: list[str]) -> JobRecord | None:
            try:
                return self.load(*name)
            except JobNotFound:
                return None

        with ThreadPoolExecutor(_LOAD_THREADS) as threads:
            return [job for job in threads.map(load, names) if job]

    def _require_claim(self) -> None:
        current = json.loads(self._store.get(REGISTRY_EPOCH_KEY))
        if current["epoch"] > self.epoch or current["holder"] != self._holder:
            raise RegistrySuperseded
