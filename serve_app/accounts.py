"""API keys: shown once, stored as a hash, looked up with a short memory."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime

from pipelines.exceptions import ObjectMissing, RequestInvalid, StorageUnavailable, Unauthorized
from pipelines.layout import ACCOUNT_PATTERN, api_key_object
from pipelines.object_store import ObjectStore

KEY_PREFIX = "lw_"
_CACHED_KEYS = 10_000


def create_key(store: ObjectStore, account: str) -> str:
    """Make a key for an account and return it; it cannot be read again. Raises RequestInvalid for a bad name."""
    if not ACCOUNT_PATTERN.fullmatch(account):
        raise RequestInvalid(
            f"An account name has 1 to 63 characters of a-z, 0-9, '-' and '_' and begins with a letter or digit,"
            f" not {account[:80]!r}",
            field="account",
        )
    # 256 random bits: a plain hash of them cannot be reversed by guessing.
    api_key = KEY_PREFIX + secrets.token_urlsafe(32)
    entry = {"account": account, "created_at": datetime.now(UTC).isoformat()}
    store.put(api_key_object(_hash(api_key)), json.dumps(entry).encode())
    return api_key


class KeyDirectory:
    """Finds the account of a key. Remembers answers for ``cache_seconds``, so that a revocation takes that long.

    While the storage does not answer, keys that were good before still are. Thread-safe.
    """

    def __init__(self, store: ObjectStore, cache_seconds: float) -> None:
        self._store = store
        self._cache_seconds = cache_seconds
        self._known: OrderedDict[str, tuple[float, str | None]] = OrderedDict()
        self._lock = threading.Lock()

    def account_of(self, api_key: str) -> str:
        """Raises Unauthorized for an unknown key."""
        key_hash = _hash(api_key)
        with self._lock:
            read_at, account = self._known.get(key_hash, (float("-inf"), None))
        if time.monotonic() - read_at > self._cache_seconds:
            try:
                account = self._look_up(key_hash)
            except StorageUnavailable:
                if account is None:
                    raise
            # Also where the storage did not answer: the next calls should not wait for it again.
            self._remember(key_hash, account)
        if account is None:
            raise Unauthorized
        return account

    def _look_up(self, key_hash: str) -> str | None:
        try:
            return str(json.loads(self._store.get(api_key_object(key_hash)))["account"])
        except ObjectMissing:
            return None

    def _remember(self, key_hash: str, account: str | None) -> None:
        with self._lock:
            self._known[key_hash] = (time.monotonic(), account)
            self._known.move_to_end(key_hash)
            while len(self._known) > _CACHED_KEYS:
                self._known.popitem(last=False)


def _hash(api_key: str) -> str:
    return hashlib.sha256(api_key.encode()).hexdigest()
