"""API keys: shown once, stored as a hash, looked up with a short memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.exceptions import ObjectMissing, StorageUnavailable, Unavailable
from pipelines.layout import ACCOUNT_PATTERN, KEYS_PREFIX, api_key_object, key_hash_of, key_list_entry, key_list_prefix
from pipelines.object_store import ObjectStore
from serve_app.exceptions import KeyNotFound, LastKey, RequestInvalid, TooManyKeys, Unauthorized
from serve_app.rate_limit import RequestLimit

KEY_PREFIX = "lw_"
MAX_KEYS = 100
ACCOUNT_NAME = "An account name has 1 to 63 characters of a-z, 0-9, '-' and '_' and begins with a letter or digit"
_KEY_PATTERN = re.compile(KEY_PREFIX + r"[A-Za-z0-9_-]{43}")
_SHOWN_CHARACTERS = len(KEY_PREFIX) + 4
_CACHED_KEYS = 10_000
# In so many seconds: a flood of guesses holds up a good key's first look-up no longer.
_UNKNOWN_KEYS = 200
_UNKNOWN_KEYS_SECONDS = 20
_READ_THREADS = 16
_LOOK_UP_THREADS = 8


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key; ``prefix`` is its first characters, for people to tell keys apart."""

    id: str
    account: str
    created_at: datetime
    name: str | None = None
    prefix: str | None = None
    expires_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key and its secret, which cannot be read again."""

    secret: str
    key: ApiKey

    @property
    def key_hash(self) -> str:
        return _hash(self.secret)


def create_key(store: ObjectStore, account: str) -> str:
    """The secret of a new key that does not expire; raises as ``issue_key`` does."""
    return issue_key(store, account).secret


def issue_key(
    store: ObjectStore, account: str, *, name: str | None = None, expires_at: datetime | None = None
) -> IssuedKey:
    """Make a key for an account, without the registry: one at a time, or there may be more than ``MAX_KEYS``.

    Raises as ``new_key`` and ``require_room`` do.
    """
    issued = new_key(account, name=name, expires_at=expires_at)
    require_room(store, account)
    store_key(store, issued.key, issued.key_hash)
    return issued


def new_key(account: str, *, name: str | None = None, expires_at: datetime | None = None) -> IssuedKey:
    """A key that is not stored yet. Raises RequestInvalid for a bad account name."""
    if not ACCOUNT_PATTERN.fullmatch(account):
        raise RequestInvalid(f"{ACCOUNT_NAME}, not {account[:80]!r}", field="account")
    # 256 random bits: a plain hash of them cannot be reversed by guessing.
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    key_id = _key_id(_hash(secret))
    return IssuedKey(secret, ApiKey(key_id, account, datetime.now(UTC), name, secret[:_SHOWN_CHARACTERS], expires_at))


def require_room(store: ObjectStore, account: str) -> None:
    """Raises TooManyKeys when the account has ``MAX_KEYS``."""
    if sum(1 for _ in store.list(key_list_prefix(account), limit=MAX_KEYS)) == MAX_KEYS:
        raise TooManyKeys(f"Account {account} has {MAX_KEYS} keys, which is the limit: revoke one first.")


def store_key(store: ObjectStore, key: ApiKey, key_hash: str) -> None:
    """From now on the key works."""
    # The list's entry first: one without its key is skipped, a key without its entry could not be revoked.
    store.put(key_list_entry(key.account, key_hash), b"")
    store.put(api_key_object(key_hash), json.dumps(_stored(key)).encode())


def list_keys(store: ObjectStore, account: str) -> list[ApiKey]:
    """The account's keys, expired ones too, oldest first."""
    hashes = [key_hash_of(listed.key) for listed in store.list(key_list_prefix(account))]
    with ThreadPoolExecutor(_READ_THREADS) as threads:
        found = list(threads.map(lambda key_hash: _read(store, key_hash), hashes))
    return sorted((key for key in found if key), key=lambda key: (key.created_at, key.id))


def revoke_key(store: ObjectStore, account: str, key_id: str, keep_one: bool) -> None:
    """Remove a key; replicas that know it forget it within ``key_cache_seconds``.

    Raises KeyNotFound, or LastKey with ``keep_one`` when no other key of the account would be valid.
    """
    hashes = [key_hash_of(listed.key) for listed in store.list(key_list_prefix(account))]
    revoked = next((key_hash for key_hash in hashes if _key_id(key_hash) == key_id), None)
    if revoked is None:
        raise KeyNotFound(f"Account {account} has no key {key_id[:50]!r}.")
    if keep_one:
        now = datetime.now(UTC)
        others = [key for key in list_keys(store, account) if key.id != key_id and key.is_valid(now)]
        if not others:
            raise LastKey
    store.delete(api_key_object(revoked))
    store.delete(key_list_entry(account, revoked))


def list_unlisted_keys(store: ObjectStore) -> None:
    """Enter keys that were made before there were lists into the lists of their accounts."""
    listed = {key_hash_of(entry.key) for entry in store.list(key_list_prefix())}
    for stored in store.list(KEYS_PREFIX):
        key_hash = key_hash_of(stored.key)
        if key_hash not in listed:
            key = _read(store, key_hash)
            if key is not None:
                store.put(key_list_entry(key.account, key_hash), b"")


def find_key(store: ObjectStore, secret: str) -> ApiKey:
    """Look a key up by its secret. Raises Unauthorized for an unknown or expired one."""
    return _valid(_read(store, _hash(secret)))


class KeyDirectory:
    """Finds a key by its secret. Remembers answers for ``cache_seconds``, so that a revocation takes that long.

    While the storage does not answer, keys that were good before still are, until they expire. Secrets that are not
    known as good are looked up at a bounded rate, so that guessing loads the storage no more than that. For one event
    loop, which waits for the storage alone: in threads that nothing else takes, and once for all who ask for a key.
    """

    def __init__(self, store: ObjectStore, cache_seconds: float) -> None:
        self._store = store
        self._cache_seconds = cache_seconds
        # Apart, so that guesses push out no key that is good, nor keep it waiting.
        self._good: OrderedDict[str, tuple[float, ApiKey]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._good_threads = ThreadPoolExecutor(_LOOK_UP_THREADS, "keys")
        self._unknown_threads = ThreadPoolExecutor(_LOOK_UP_THREADS, "unknown-keys")
        self._guesses = RequestLimit(_UNKNOWN_KEYS, seconds=_UNKNOWN_KEYS_SECONDS)
        self._guesses_read = 0
        self._reads: dict[str, asyncio.Task[ApiKey | None]] = {}

    async def find(self, secret: str) -> ApiKey:
        """Raises Unauthorized for an unknown or expired key, Unavailable where too many unknown ones were sent."""
        if not _KEY_PATTERN.fullmatch(secret):
            raise Unauthorized
        # Found by its hash: how long a comparison takes tells of the hash alone, which leads to no secret.
        key_hash = _hash(secret)
        now = time.monotonic()
        read_at, key = self._good.get(key_hash, (float("-inf"), None))
        if now - read_at > self._cache_seconds:
            if key is None and now - self._unknown.get(key_hash, float("-inf")) <= self._cache_seconds:
                raise Unauthorized
            # Shielded: others wait for it too when the one who asked first goes away.
            key = await asyncio.shield(self._reading(key_hash, key, now))
        return _valid(key)

    def forget(self, key_id: str) -> None:
        """The key was revoked through this replica: it ends here at once."""
        for key_hash in [known for known, (_, key) in self._good.items() if key.id == key_id]:
            del self._good[key_hash]

    def _reading(self, key_hash: str, known: ApiKey | None, now: float) -> asyncio.Task[ApiKey | None]:
        """The read of a key that is under way, or a new one."""
        if key_hash not in self._reads:
            if known is None and (
                self._guesses_read >= _UNKNOWN_KEYS or not self._guesses.take("unknown", now).allowed
            ):
                raise Unavailable("Too many unknown API keys are being tried. Try again shortly.")
            reading = asyncio.create_task(self._read(key_hash, known))
            self._reads[key_hash] = reading
            reading.add_done_callback(lambda done: self._read_ended(key_hash, done))
        return self._reads[key_hash]

    def _read_ended(self, key_hash: str, done: asyncio.Task[ApiKey | None]) -> None:
        del self._reads[key_hash]
        if not done.cancelled():
            # Else asyncio complains of one that failed for callers who have all gone away.
            done.exception()

    async def _read(self, key_hash: str, known: ApiKey | None) -> ApiKey | None:
        threads = self._good_threads if known else self._unknown_threads
        self._guesses_read += known is None
        try:
            key = await asyncio.get_running_loop().run_in_executor(threads, _read, self._store, key_hash)
        except StorageUnavailable:
            if known is None:
                raise
            key = known
        finally:
            self._guesses_read -= known is None
        # Also where the storage did not answer: the next calls should not wait for it again.
        self._remember(key_hash, key)
        return key

    def _remember(self, key_hash: str, key: ApiKey | None) -> None:
        now = time.monotonic()
        self._unknown.pop(key_hash, None)
        self._good.pop(key_hash, None)
        if key is None:
            self._unknown[key_hash] = now
        else:
            self._good[key_hash] = (now, key)
        for known in (self._good, self._unknown):
            while len(known) > _CACHED_KEYS:
                known.popitem(last=False)


def _valid(key: ApiKey | None) -> ApiKey:
    if key is None or not key.is_valid(datetime.now(UTC)):
        raise Unauthorized
    return key


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key_id(key_hash: str) -> str:
    # Of the hash, so that keys stored without an id have one, and not the hash, which is the object's name.
    return "key_" + hashlib.sha256(b"id of " + key_hash.encode()).hexdigest()[:16]


def _read(store: ObjectStore, key_hash: str) -> ApiKey | None:
    with suppress(ObjectMissing):
        stored: dict[str, Any] = json.loads(store.get(api_key_object(key_hash)))
        expires_at = stored.get("expires_at")
        return ApiKey(
            id=_key_id(key_hash),
            account=stored["account"],
            created_at=datetime.fromisoformat(stored["created_at"]),
            name=stored.get("name"),
            prefix=stored.get("prefix"),
            expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
        )
    return None


def _stored(key: ApiKey) -> dict[str, Any]:
    return {
        "account": key.account,
        "created_at": key.created_at.isoformat(),
        "name": key.name,
        "prefix": key.prefix,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }
