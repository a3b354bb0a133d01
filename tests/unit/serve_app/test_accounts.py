from __future__ import annotations

import hashlib
import json
import re
from typing import cast

import pytest

from pipelines.exceptions import ObjectMissing, RequestInvalid, StorageUnavailable, Unauthorized
from pipelines.object_store import ObjectStore
from serve_app import accounts
from serve_app.accounts import KeyDirectory, create_key


class MemoryStore:
    """Objects in memory; counts its reads, and can be down."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads = 0
        self.down = False

    def put(self, key: str, body: bytes) -> None:
        self.objects[key] = body

    def get(self, key: str) -> bytes:
        self.reads += 1
        if self.down:
            raise StorageUnavailable
        if key not in self.objects:
            raise ObjectMissing
        return self.objects[key]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(accounts, "time", clock)
    return clock


def made(store: MemoryStore, account: str = "acme") -> str:
    return create_key(cast(ObjectStore, store), account)


def directory(store: MemoryStore, cache_seconds: float = 5.0) -> KeyDirectory:
    return KeyDirectory(cast(ObjectStore, store), cache_seconds)


def test_a_key_leads_to_its_account(store: MemoryStore) -> None:
    one, other = made(store, "acme"), made(store, "other-1")
    keys = directory(store)
    assert (keys.account_of(one), keys.account_of(other)) == ("acme", "other-1")


def test_an_account_may_have_several_keys(store: MemoryStore) -> None:
    keys = directory(store)
    assert {keys.account_of(made(store)) for _ in range(3)} == {"acme"}


def test_a_key_is_long_and_never_the_same_and_not_stored(store: MemoryStore) -> None:
    keys = {made(store) for _ in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"lw_[A-Za-z0-9_-]{43}", key) for key in keys)
    stored = b"".join(store.objects.values()).decode() + "".join(store.objects)
    assert not any(key in stored or key.removeprefix("lw_") in stored for key in keys)


def test_a_key_is_stored_as_its_hash_with_its_account(store: MemoryStore) -> None:
    key = made(store)
    ((name, body),) = store.objects.items()
    assert name == f"accounts/keys/{hashlib.sha256(key.encode()).hexdigest()}.json"
    assert json.loads(body)["account"] == "acme"


@pytest.mark.parametrize("account", ["", "Acme", "a b", "../x", "a/b", "-a", "a" * 64, "a\n", "é", "x" * 10_000])
def test_an_account_whose_name_must_not_become_a_path_gets_no_key(store: MemoryStore, account: str) -> None:
    with pytest.raises(RequestInvalid, match="An account name has 1 to 63 characters") as refused:
        made(store, account)
    assert store.objects == {}
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("key", ["", "lw_", "lw_" + "a" * 43, "../../x", "é", "x" * 100_000, "\x00"])
def test_an_unknown_key_is_refused(store: MemoryStore, key: str) -> None:
    made(store)
    with pytest.raises(Unauthorized):
        directory(store).account_of(key)


def test_a_part_of_a_key_or_its_hash_is_no_key(store: MemoryStore) -> None:
    key = made(store)
    keys = directory(store)
    for guess in (key[:-1], key + "a", key.removeprefix("lw_"), key.upper(), hashlib.sha256(key.encode()).hexdigest()):
        with pytest.raises(Unauthorized):
            keys.account_of(guess)


def test_an_answer_is_remembered_for_its_time_and_no_longer(store: MemoryStore, clock: Clock) -> None:
    key = made(store)
    keys = directory(store)
    for _ in range(10):
        keys.account_of(key)
    assert store.reads == 1
    clock.now += 5.1
    keys.account_of(key)
    assert store.reads == 2


def test_a_revoked_key_is_refused_once_it_is_forgotten(store: MemoryStore, clock: Clock) -> None:
    key = made(store)
    keys = directory(store)
    keys.account_of(key)
    store.objects.clear()
    assert keys.account_of(key) == "acme"
    clock.now += 5.1
    with pytest.raises(Unauthorized):
        keys.account_of(key)


def test_an_unknown_key_is_remembered_too_so_that_guessing_does_not_load_the_storage(
    store: MemoryStore, clock: Clock
) -> None:
    keys = directory(store)
    for _ in range(10):
        with pytest.raises(Unauthorized):
            keys.account_of("lw_guess")
    assert store.reads == 1


def test_a_key_that_was_made_after_it_was_refused_is_accepted_once_that_is_forgotten(
    store: MemoryStore, clock: Clock
) -> None:
    key = made(store)
    hidden = dict(store.objects)
    store.objects.clear()
    keys = directory(store)
    with pytest.raises(Unauthorized):
        keys.account_of(key)
    store.objects.update(hidden)
    clock.now += 5.1
    assert keys.account_of(key) == "acme"


def test_without_memory_each_call_looks_the_key_up(store: MemoryStore, clock: Clock) -> None:
    key = made(store)
    keys = directory(store, cache_seconds=0)
    for _ in range(3):
        clock.now += 0.001
        keys.account_of(key)
    assert store.reads == 3


def test_a_key_that_was_good_stays_good_while_the_storage_is_down(store: MemoryStore, clock: Clock) -> None:
    key = made(store)
    keys = directory(store)
    keys.account_of(key)
    store.down = True
    clock.now += 3600
    assert keys.account_of(key) == "acme"
    store.down = False
    store.objects.clear()
    clock.now += 3600
    with pytest.raises(Unauthorized):
        keys.account_of(key)


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_key_that_was_never_good_cannot_be_judged_while_the_storage_is_down(
    store: MemoryStore, clock: Clock, seen_before: bool
) -> None:
    keys = directory(store)
    if seen_before:
        with pytest.raises(Unauthorized):
            keys.account_of("lw_guess")
    store.down = True
    clock.now += 3600
    with pytest.raises(StorageUnavailable):
        keys.account_of("lw_guess")


def test_guessed_keys_do_not_fill_the_memory(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_CACHED_KEYS", 10)
    keys = directory(store)
    for number in range(100):
        with pytest.raises(Unauthorized):
            keys.account_of(f"lw_{number}")
    assert len(keys._known) == 10
