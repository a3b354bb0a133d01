"""API keys looked up by their secrets, with a short memory."""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor

from pipelines.exceptions import StorageUnavailable, Unavailable
from pipelines.object_store import ObjectStore
from serve_app.accounts import KEY_PREFIX, ApiKey, read_key, require_valid, secret_hash
from serve_app.exceptions import Unauthorized
from serve_app.rate_limit import RequestLimit
from serve_app.recently_used import RecentlyUsed

_KEY_PATTERN = re.compile(KEY_PREFIX + r"[A-Za-z0-9_-]{43}")
_CACHED_KEYS = 10_000
# In so many seconds: a flood of guesses holds up a good key's first look-up no longer.
_UNKNOWN_KEYS = 200
_UNKNOWN_KEYS_SECONDS = 20
_LOOK_UP_THREADS = 8


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
        self._good: RecentlyUsed[str, tuple[float, ApiKey]] = RecentlyUsed(_CACHED_KEYS)
        self._unknown: RecentlyUsed[str, float] = RecentlyUsed(_CACHED_KEYS)
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
        key_hash = secret_hash(secret)
        now = time.monotonic()
        read_at, key = self._good.get(key_hash) or (float("-inf"), None)
        if now - read_at > self._cache_seconds:
            missed_at = self._unknown.get(key_hash)
            if key is None and missed_at is not None and now - missed_at <= self._cache_seconds:
                raise Unauthorized
            # Shielded: others wait for it too when the one who asked first goes away.
            key = await asyncio.shield(self._reading(key_hash, key, now))
        return require_valid(key)

    def forget(self, key_id: str) -> None:
        """The key was revoked through this replica: it ends here at once."""
        for key_hash, (_, key) in self._good.items():
            if key.id == key_id:
                self._good.remove(key_hash)

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
            key = await asyncio.get_running_loop().run_in_executor(threads, read_key, self._store, key_hash)
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
        self._unknown.remove(key_hash)
        self._good.remove(key_hash)
        if key is None:
            self._unknown.put(key_hash, now)
        else:
            self._good.put(key_hash, (now, key))
