"""Job records in the object storage: the truth that every cache is made from."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from pydantic import ValidationError

from pipelines.exceptions import LabelworksError, ObjectChanged, ObjectMissing, StorageUnavailable
from pipelines.job import JobRecord
from pipelines.layout import (
    ACTIVE_PREFIX,
    PROBES_PREFIX,
    REGISTRY_EPOCH_KEY,
    JobPaths,
    idempotency_object,
    index_key,
    index_prefix,
    read_active_marker,
    read_index_key,
)
from pipelines.object_store import ObjectStore
from serve_app.exceptions import IdempotencyConflict, JobNotFound, RecordUnreadable, RegistrySuperseded
from serve_app.job_view import JobView
from serve_app.usage import UsageLedger
from serve_app.versioned_records import VersionedRecords

logger = logging.getLogger(__name__)
Job = TypeVar("Job", bound=JobRecord)
Name = tuple[str, str]
"""A job's account and id."""

_LOAD_THREADS = 16
_CLAIM_TRIES = 10


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's Idempotency-Key and the body that came with it, as hashes."""

    key_hash: str
    body_hash: str


class JobRepository:
    """Reads and writes job records on behalf of one registry, whose epoch every record carries.

    Raises RegistrySuperseded on a write once a newer registry has claimed the bucket.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._records = VersionedRecords(store, self.require_claim)
        self._usage = UsageLedger(store)
        self._holder = uuid.uuid4().hex
        self.epoch = 0

    def claim(self) -> None:
        """Become the one that may write. The last of several claimants wins; the others find out on writing."""
        self._records.conditional = self._store.honours_conditions(PROBES_PREFIX + self._holder)
        for _ in range(_CLAIM_TRIES):
            # Another claimant's came between, or this one's is there whose answer was lost: an epoch more does no harm.
            with suppress(ObjectChanged):
                self._claim_next_epoch()
                return
        raise StorageUnavailable("Other clusters keep claiming the bucket. Try again shortly.")

    def _claim_next_epoch(self) -> None:
        """Raises ObjectChanged where another claimant's claim came between, if the storage tells."""
        claimed, etag = 0, None
        with suppress(ObjectMissing):
            found, etag = self._store.get_with_etag(REGISTRY_EPOCH_KEY)
            claimed = json.loads(found)["epoch"]
        self.epoch = claimed + 1
        claim = json.dumps({"epoch": self.epoch, "holder": self._holder}).encode()
        self._records.replace(REGISTRY_EPOCH_KEY, claim, etag)

    def give_key(self, account: str, key: IdempotencyKey, job_id: str, now: datetime) -> None:
        """From here on the key belongs to this job, whatever it belonged to."""
        self.require_claim()
        entry = {"job_id": job_id, "body": key.body_hash, "created_at": now.isoformat()}
        self._store.put(idempotency_object(account, key.key_hash), json.dumps(entry).encode())

    def claimed_id(self, account: str, key: IdempotencyKey) -> str | None:
        """The id of the job that belongs to this key. Raises IdempotencyConflict when it came with another body."""
        try:
            known = json.loads(self._store.get(idempotency_object(account, key.key_hash)))
        except ObjectMissing:
            return None
        if known["body"] != key.body_hash:
            raise IdempotencyConflict
        return str(known["job_id"])

    def create(self, job: JobRecord) -> JobRecord:
        """Store a new job and its place in the account's list."""
        # The marker first: one without a record is skipped, a record without one would be lost.
        self.require_claim()
        self._store.put(index_key(job.account, job.job_id, job.created_at), b"")
        return self._save(job, None)

    def save(self, job: JobRecord) -> JobRecord:
        """Store the record, and keep the marker of a processing job in step with it."""
        return self._save(job, self._records.version(JobPaths(job.account, job.job_id).record))

    def _save(self, job: JobRecord, version: str | None) -> JobRecord:
        if isinstance(job, JobView):
            raise LabelworksError(
                f"A view of job {job.job_id} was to be stored, which would lose what the job is to do."
            )
        self.require_claim()
        paths = JobPaths(job.account, job.job_id)
        stamped = job.model_copy(update={"epoch": self.epoch})
        if job.status == "processing":
            self._store.put(paths.active_marker, b"")
        self._records.write(paths.record, stamped.model_dump_json().encode(), version)
        if job.status != "processing":
            try:
                self._settle(stamped)
            except StorageUnavailable as error:
                # The change is stored, so its caller may hear of it; the marker stays until this was made up for.
                logger.warning("the job has ended and is settled later: %s", error, extra=stamped.log_fields)
        return stamped

    def settle_completed(self) -> None:
        """Settle completed jobs whose registry died, or lost its storage, before it had."""
        for job in self._marked(JobView):
            if job.status == "completed":
                self._settle(job)

    def _settle(self, job: JobRecord) -> None:
        # After the record, from which a repetition takes the very same figures; before the marker is gone.
        self._usage.record_job(job)
        self._store.delete(JobPaths(job.account, job.job_id).active_marker)

    def load(self, account: str, job_id: str) -> JobRecord:
        """Raises JobNotFound, or RecordUnreadable where the record makes no sense."""
        return self._load(account, job_id, JobRecord)

    def _load(self, account: str, job_id: str, kind: type[Job]) -> Job:
        try:
            key = JobPaths(account, job_id).record
        except ValueError as error:
            raise JobNotFound(f"There is no job {job_id[:50]}.") from error
        try:
            # Views are for looking at many jobs, of which few are changed.
            read = self._records.read if kind is JobRecord else self._store.get
            return kind.model_validate_json(read(key))
        except ObjectMissing as error:
            raise JobNotFound(f"There is no job {job_id}.") from error
        except ValidationError as error:
            logger.exception("the job's record makes no sense and is left alone", extra={"job_id": job_id})
            raise RecordUnreadable.of(job_id) from error

    def newest(self, account: str, limit: int) -> list[str]:
        """Ids of the account's latest jobs, newest first."""
        return [read_index_key(listed.key).job_id for listed in self._store.list(index_prefix(account), limit=limit)]

    def active(self) -> list[JobRecord]:
        """Every job that was processing when its record was last written."""
        return [job for job in self._marked(JobRecord) if job.status == "processing"]

    def _marked(self, kind: type[Job]) -> Iterator[Job]:
        return self.load_all((read_active_marker(listed.key) for listed in self._store.list(ACTIVE_PREFIX)), kind)

    def delete(self, job: JobRecord) -> None:
        """Remove every object of the job; the record goes late, so that a cut-off deletion can be repeated."""
        self.require_claim()
        # It may be deleted before it was settled.
        self._usage.record_job(job)
        self._remove(JobPaths(job.account, job.job_id), index_key(job.account, job.job_id, job.created_at))

    def delete_unread(self, account: str, job_id: str) -> None:
        """The same for a job whose record makes no sense; what it may have used is not counted."""
        self.require_claim()
        self._remove(JobPaths(account, job_id), *self._places(account, job_id))

    def unlist(self, account: str, job_id: str) -> None:
        """Take a job that has no record out of the account's list."""
        self.require_claim()
        self._store.delete(*self._places(account, job_id))

    def _places(self, account: str, job_id: str) -> list[str]:
        keys = (listed.key for listed in self._store.list(index_prefix(account)))
        return [key for key in keys if read_index_key(key).job_id == job_id]

    def _remove(self, paths: JobPaths, *places: str) -> None:
        self._store.abort_multiparts(paths.prefix)
        self._store.delete(*(listed.key for listed in self._store.list(paths.prefix) if listed.key != paths.record))
        self._store.delete(paths.record, paths.active_marker)
        # A driver that has just been ended may have written meanwhile.
        self._store.abort_multiparts(paths.prefix)
        self._store.delete(*(listed.key for listed in self._store.list(paths.prefix)))
        self._store.delete(*places)

    def load_all(self, names: Iterable[Name], kind: type[Job]) -> Iterator[Job]:
        """The jobs of these names, without those that are not there or make no sense."""
        return (job for _, job in self.look_up(names, kind) if job)

    def look_up(self, names: Iterable[Name], kind: type[Job]) -> Iterator[tuple[Name, Job | None]]:
        """Each of these names with its job, or None where that is not there; without those that make no sense.

        Only some are read ahead of who takes them, so that memory does not grow with their number.
        """

        def load(name: Name) -> tuple[Name, Job | None] | None:
            try:
                return name, self._load(*name, kind)
            except JobNotFound:
                return name, None
            except RecordUnreadable:
                return None

        remaining = iter(names)
        with ThreadPoolExecutor(_LOAD_THREADS) as threads:
            while some := list(islice(remaining, _LOAD_THREADS)):
                yield from (found for found in threads.map(load, some) if found)

    def require_claim(self) -> None:
        """Raises RegistrySuperseded unless this registry may write."""
        current = json.loads(self._store.get(REGISTRY_EPOCH_KEY))
        if current["epoch"] > self.epoch or current["holder"] != self._holder:
            raise RegistrySuperseded
