"""API keys: shown once, stored as a hash."""

from __future__ import annotations

import hashlib
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from pipelines.exceptions import ObjectMissing
from pipelines.layout import ACCOUNT_PATTERN, api_key_object, key_hash_of, key_list_entry, key_list_prefix
from pipelines.object_store import ObjectStore
from serve_app.exceptions import KeyNotFound, LastKey, RequestInvalid, TooManyKeys, Unauthorized

KEY_PREFIX = "lw_"
MAX_KEYS = 100
ACCOUNT_NAME = "An account name has 1 to 63 characters of a-z, 0-9, '-' and '_' and begins with a letter or digit"
_SHOWN_CHARACTERS = len(KEY_PREFIX) + 4
_READ_THREADS = 16


class ApiKey(BaseModel):
    """What is kept of a key; ``prefix`` is its first characters, for people to tell keys apart."""

    model_config = ConfigDict(frozen=True)

    id: str
    account: str
    created_at: datetime
    name: str | None = None
    prefix: str
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
        return secret_hash(self.secret)


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
    key = ApiKey(
        id=_key_id(secret_hash(secret)),
        account=account,
        created_at=datetime.now(UTC),
        name=name,
        prefix=secret[:_SHOWN_CHARACTERS],
        expires_at=expires_at,
    )
    return IssuedKey(secret, key)


def require_room(store: ObjectStore, account: str) -> None:
    """Raises TooManyKeys when the account has ``MAX_KEYS``."""
    if sum(1 for _ in store.list(key_list_prefix(account), limit=MAX_KEYS)) == MAX_KEYS:
        raise TooManyKeys(f"Account {account} has {MAX_KEYS} keys, which is the limit: revoke one first.")


def store_key(store: ObjectStore, key: ApiKey, key_hash: str) -> None:
    """From now on the key works."""
    # The list's entry first: one without its key is skipped, a key without its entry could not be revoked.
    store.put(key_list_entry(key.account, key_hash), b"")
    # Without its id, which follows from the object's name.
    store.put(api_key_object(key_hash), key.model_dump_json(exclude={"id"}).encode())


def list_keys(store: ObjectStore, account: str) -> list[ApiKey]:
    """The account's keys, expired ones too, oldest first."""
    hashes = [key_hash_of(listed.key) for listed in store.list(key_list_prefix(account))]
    with ThreadPoolExecutor(_READ_THREADS) as threads:
        found = list(threads.map(lambda key_hash: read_key(store, key_hash), hashes))
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


def find_key(store: ObjectStore, secret: str) -> ApiKey:
    """Look a key up by its secret. Raises Unauthorized for an unknown or expired one."""
    return require_valid(read_key(store, secret_hash(secret)))


def require_valid(key: ApiKey | None) -> ApiKey:
    """Raises Unauthorized for none, or one that has expired."""
    if key is None or not key.is_valid(datetime.now(UTC)):
        raise Unauthorized
    return key


def read_key(store: ObjectStore, key_hash: str) -> ApiKey | None:
    """The key whose secret has this hash."""
    try:
        stored = json.loads(store.get(api_key_object(key_hash)))
    except ObjectMissing:
        return None
    return ApiKey(id=_key_id(key_hash), **stored)


def secret_hash(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _key_id(key_hash: str) -> str:
    # Of the hash, so that the list of keys tells it, and not the hash itself, which is the object's name.
    return "key_" + hashlib.sha256(b"id of " + key_hash.encode()).hexdigest()[:16]
