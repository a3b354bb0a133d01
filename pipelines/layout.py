"""Where everything lies in the bucket."""

from __future__ import annotations

import re
import secrets
import string
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

ACCOUNT_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
JOB_ID_PATTERN = re.compile(r"batch_[a-z0-9]{16}")
CLASSIFIER_NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

REGISTRY_EPOCH_KEY = "registry/epoch.json"
PROBES_PREFIX = "registry/probes/"
ACTIVE_PREFIX = "registry/active/"
KEYS_PREFIX = "accounts/keys/"
KEY_LISTS_PREFIX = "accounts/key-lists/"
USAGE_PREFIX = "accounts/usage/"
IDEMPOTENCY_PREFIX = "accounts/idempotency/"
JOBS_PREFIX = "batch/"
INDEX_PREFIX = "accounts/jobs/"
CLASSIFIERS_PREFIX = "classifiers/"
RECORD_NAME = "job.json"
_JOB_ID_ALPHABET = string.ascii_lowercase + string.digits
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MICROSECOND = 10**17


@dataclass(frozen=True, slots=True)
class JobPaths:
    """The keys of one job's objects. Raises ValueError for names that must not become paths."""

    account: str
    job_id: str

    def __post_init__(self) -> None:
        if not ACCOUNT_PATTERN.fullmatch(self.account):
            raise ValueError(f"not an account name: {self.account!r}")
        if not JOB_ID_PATTERN.fullmatch(self.job_id):
            raise ValueError(f"not a job id: {self.job_id!r}")

    @property
    def prefix(self) -> str:
        return f"{JOBS_PREFIX}{self.account}/{self.job_id}/"

    @property
    def input(self) -> str:
        return self.prefix + "input.ndjson"

    @property
    def record(self) -> str:
        return self.prefix + RECORD_NAME

    @property
    def plan(self) -> str:
        return self.prefix + "plan.json"

    @property
    def results(self) -> str:
        return self.prefix + "results.ndjson"

    @property
    def shards_prefix(self) -> str:
        return self.prefix + "shards/"

    def shard(self, index: int) -> str:
        return f"{self.shards_prefix}{index:05d}.ndjson"

    @property
    def active_marker(self) -> str:
        """Present while the job may be processing, so that a new registry finds it without listing all jobs."""
        return f"{ACTIVE_PREFIX}{self.account}/{self.job_id}"


def new_job_id() -> str:
    """One that no other job has."""
    return "batch_" + "".join(secrets.choice(_JOB_ID_ALPHABET) for _ in range(16))


def job_prefix_of(key: str) -> str:
    """The ``prefix`` of the job that an object under ``JOBS_PREFIX`` belongs to."""
    return "/".join(key.split("/")[:3]) + "/"


def shard_index(key: str) -> int:
    """What ``shard`` put into a key."""
    return int(key.rsplit("/", 1)[1].split(".")[0])


def read_active_marker(key: str) -> tuple[str, str]:
    """Account and id of the job whose ``active_marker`` this is."""
    account, _, job_id = key.removeprefix(ACTIVE_PREFIX).partition("/")
    return account, job_id


@dataclass(frozen=True, slots=True)
class ClassifierPaths:
    """The keys of an account's saved classifiers. Raises ValueError for names that must not become paths."""

    account: str

    def __post_init__(self) -> None:
        if not ACCOUNT_PATTERN.fullmatch(self.account):
            raise ValueError(f"not an account name: {self.account!r}")

    @property
    def index(self) -> str:
        """Which names and versions there are."""
        return f"{CLASSIFIERS_PREFIX}{self.account}/index.json"

    def versions_prefix(self, name: str) -> str:
        if not CLASSIFIER_NAME_PATTERN.fullmatch(name):
            raise ValueError(f"not a classifier's name: {name!r}")
        return f"{CLASSIFIERS_PREFIX}{self.account}/versions/{name}/"

    def version(self, name: str, version: int) -> str:
        return f"{self.versions_prefix(name)}{version}.json"


def index_prefix(account: str) -> str:
    return f"{INDEX_PREFIX}{account}/"


def index_key(account: str, job_id: str, created_at: datetime) -> str:
    """A marker that sorts newest first, so that one listing gives an account's latest jobs."""
    microseconds = (created_at - _EPOCH) // timedelta(microseconds=1)
    return f"{index_prefix(account)}{_LATEST_MICROSECOND - microseconds:017d}-{job_id}"


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A job as its marker in the account's list tells of it."""

    account: str
    job_id: str
    created_at: datetime


def read_index_key(key: str) -> IndexEntry:
    """What ``index_key`` put into a key."""
    account, _, name = key.removeprefix(INDEX_PREFIX).partition("/")
    inverted, _, job_id = name.partition("-")
    created_at = _EPOCH + timedelta(microseconds=_LATEST_MICROSECOND - int(inverted))
    return IndexEntry(account, job_id, created_at)


def idempotency_object(account: str, key_hash: str) -> str:
    return f"{IDEMPOTENCY_PREFIX}{account}/{key_hash}.json"


def api_key_object(key_hash: str) -> str:
    return f"{KEYS_PREFIX}{key_hash}.json"


def key_list_prefix(account: str) -> str:
    """The keys of an account."""
    return f"{KEY_LISTS_PREFIX}{account}/"


def key_list_entry(account: str, key_hash: str) -> str:
    return key_list_prefix(account) + key_hash


def key_hash_of(key: str) -> str:
    """The hash that ``api_key_object`` or ``key_list_entry`` put into a key."""
    return key.rpartition("/")[2].removesuffix(".json")


def usage_prefix(account: str) -> str:
    return f"{USAGE_PREFIX}{account}/"


def usage_entry(account: str, day: date, source: str) -> str:
    """What one source (a job, an API replica) adds to a day."""
    return f"{usage_prefix(account)}{day.isoformat()}/{source}.json"


def usage_day(account: str, day: date) -> str:
    """The entries of a day put together."""
    return f"{usage_prefix(account)}{day.isoformat()}.json"


@dataclass(frozen=True, slots=True)
class UsageKey:
    """Whose usage of which day an object holds: what one source adds to it, or what was put together (no source)."""

    account: str
    day: date
    source: str | None


def read_usage_key(key: str) -> UsageKey:
    """What ``usage_entry`` or ``usage_day`` put into a key."""
    account, day, *source = key.removeprefix(USAGE_PREFIX).removesuffix(".json").split("/")
    return UsageKey(account, date.fromisoformat(day), source[0] if source else None)
