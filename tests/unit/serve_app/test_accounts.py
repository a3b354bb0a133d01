from __future__ import annotations

import asyncio
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from pipelines.exceptions import StorageUnavailable, Unavailable
from pipelines.object_store import ObjectStore
from serve_app import key_directory
from serve_app.accounts import ApiKey, create_key, issue_key, list_keys, revoke_key
from serve_app.embedded.stack import working_key
from serve_app.exceptions import KeyNotFound, LastKey, RequestInvalid, TooManyKeys, Unauthorized
from serve_app.key_directory import KeyDirectory
from tests.unit.serve_app.memory_store import MemoryStore

GUESS = "lw_" + "g" * 43


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
    monkeypatch.setattr(key_directory, "time", clock)
    return clock


def made(store: MemoryStore, account: str = "acme") -> str:
    return create_key(cast(ObjectStore, store), account)


def listed(store: MemoryStore, account: str = "acme") -> list[ApiKey]:
    return list_keys(cast(ObjectStore, store), account)


def directory(store: MemoryStore, cache_seconds: float = 5.0) -> KeyDirectory:
    return KeyDirectory(cast(ObjectStore, store), cache_seconds)


def find(keys: KeyDirectory, secret: str) -> ApiKey:
    return asyncio.run(keys.find(secret))


def test_a_key_leads_to_its_account(store: MemoryStore) -> None:
    one, other = made(store, "acme"), made(store, "other-1")
    keys = directory(store)
    assert (find(keys, one).account, find(keys, other).account) == ("acme", "other-1")


def test_an_account_may_have_several_keys(store: MemoryStore) -> None:
    keys = directory(store)
    assert {find(keys, made(store)).account for _ in range(3)} == {"acme"}


def test_a_key_is_long_and_never_the_same_and_not_stored(store: MemoryStore) -> None:
    keys = {made(store) for _ in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"lw_[A-Za-z0-9_-]{43}", key) for key in keys)
    stored = b"".join(store.objects.values()).decode() + "".join(store.objects)
    assert not any(key in stored or key.removeprefix("lw_") in stored for key in keys)


def test_a_key_is_stored_as_its_hash_with_its_account(store: MemoryStore) -> None:
    key = made(store)
    key_hash = hashlib.sha256(key.encode()).hexdigest()
    assert set(store.objects) == {f"accounts/keys/{key_hash}.json", f"accounts/key-lists/acme/{key_hash}"}
    assert json.loads(store.objects[f"accounts/keys/{key_hash}.json"])["account"] == "acme"


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
        find(directory(store), key)


def test_a_part_of_a_key_or_its_hash_is_no_key(store: MemoryStore) -> None:
    key = made(store)
    keys = directory(store)
    for guess in (key[:-1], key + "a", key.removeprefix("lw_"), key.upper(), hashlib.sha256(key.encode()).hexdigest()):
        with pytest.raises(Unauthorized):
            find(keys, guess)


def test_an_answer_is_remembered_for_its_time_and_no_longer(store: MemoryStore, clock: Clock) -> None:
    key = made(store)
    keys = directory(store)
    for _ in range(10):
        find(keys, key)
    assert store.reads == 1
    clock.now += 5.1
    find(keys, key)
    assert store.reads == 2


def test_a_revoked_key_is_refused_once_it_is_forgotten(store: MemoryStore, clock: Clock) -> None:
    key = made(store)
    keys = directory(store)
    find(keys, key)
    store.objects.clear()
    assert find(keys, key).account == "acme"
    clock.now += 5.1
    with pytest.raises(Unauthorized):
        find(keys, key)


def test_an_unknown_key_is_remembered_too_so_that_guessing_does_not_load_the_storage(
    store: MemoryStore, clock: Clock
) -> None:
    keys = directory(store)
    for _ in range(10):
        with pytest.raises(Unauthorized):
            find(keys, GUESS)
    assert store.reads == 1


def test_a_key_that_was_made_after_it_was_refused_is_accepted_once_that_is_forgotten(
    store: MemoryStore, clock: Clock
) -> None:
    key = made(store)
    hidden = dict(store.objects)
    store.objects.clear()
    keys = directory(store)
    with pytest.raises(Unauthorized):
        find(keys, key)
    store.objects.update(hidden)
    clock.now += 5.1
    assert find(keys, key).account == "acme"


def test_without_memory_each_call_looks_the_key_up(store: MemoryStore, clock: Clock) -> None:
    key = made(store)
    keys = directory(store, cache_seconds=0)
    for _ in range(3):
        clock.now += 0.001
        find(keys, key)
    assert store.reads == 3


def test_a_key_that_was_good_stays_good_while_the_storage_is_down(store: MemoryStore, clock: Clock) -> None:
    key = made(store)
    keys = directory(store)
    find(keys, key)
    store.down = True
    clock.now += 3600
    assert find(keys, key).account == "acme"
    store.down = False
    store.objects.clear()
    clock.now += 3600
    with pytest.raises(Unauthorized):
        find(keys, key)


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_key_that_was_never_good_cannot_be_judged_while_the_storage_is_down(
    store: MemoryStore, clock: Clock, seen_before: bool
) -> None:
    keys = directory(store)
    if seen_before:
        with pytest.raises(Unauthorized):
            find(keys, GUESS)
    store.down = True
    clock.now += 3600
    with pytest.raises(StorageUnavailable):
        find(keys, GUESS)


def test_guessed_keys_do_not_fill_the_memory(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_directory, "_CACHED_KEYS", 10)
    keys = directory(store)
    for number in range(100):
        with pytest.raises(Unauthorized):
            find(keys, f"lw_{number:043d}")
    assert len(keys._unknown) == 10


def test_what_cannot_be_a_key_is_refused_without_a_look_at_the_storage(store: MemoryStore) -> None:
    keys = directory(store, cache_seconds=0)
    for secret in ("", "lw_", "lw_" + "a" * 44, "../" + "a" * 43, "lw_" + "é" * 43, f"{GUESS}\n"):
        with pytest.raises(Unauthorized):
            find(keys, secret)
    assert store.reads == 0


def test_a_flood_of_guesses_reads_the_storage_at_a_bounded_rate_and_hinders_no_known_key(
    store: MemoryStore, clock: Clock
) -> None:
    key = made(store)
    keys = directory(store)
    find(keys, key)
    refused = 0
    for number in range(2_000):
        with pytest.raises((Unauthorized, Unavailable)) as error:
            find(keys, f"lw_{number:043d}")
        refused += error.type is Unavailable
    assert store.reads == 200
    assert refused == 1_801
    clock.now += 21
    assert find(keys, key).account == "acme"
    with pytest.raises(Unauthorized):
        find(keys, "lw_" + "z" * 43)


def test_guesses_push_no_good_key_out_of_the_memory(
    store: MemoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_directory, "_CACHED_KEYS", 10)
    key = made(store)
    keys = directory(store)
    find(keys, key)
    for number in range(100):
        with pytest.raises(Unauthorized):
            find(keys, f"lw_{number:043d}")
    store.down = True
    clock.now += 3600
    assert find(keys, key).account == "acme"


def test_an_expired_key_is_refused_at_once_even_from_memory_and_while_the_storage_is_down(store: MemoryStore) -> None:
    expires_at = datetime.now(UTC) + timedelta(milliseconds=300)
    issued = issue_key(cast(ObjectStore, store), "acme", expires_at=expires_at)
    keys = directory(store, cache_seconds=3600)
    assert find(keys, issued.secret).expires_at == expires_at
    store.down = True
    while datetime.now(UTC) <= expires_at:
        pass
    with pytest.raises(Unauthorized):
        find(keys, issued.secret)


def test_an_accounts_keys_are_listed_without_their_secrets(store: MemoryStore) -> None:
    expires_at = datetime(2099, 1, 1, tzinfo=UTC)
    first = issue_key(cast(ObjectStore, store), "acme", name="nightly", expires_at=expires_at)
    second = issue_key(cast(ObjectStore, store), "acme")
    made(store, "other")
    assert listed(store) == [first.key, second.key]
    assert (first.key.name, first.key.expires_at) == ("nightly", expires_at)
    assert first.key.prefix == first.secret[:7]
    assert re.fullmatch(r"key_[0-9a-f]{16}", first.key.id)
    assert first.key.id.removeprefix("key_") not in hashlib.sha256(first.secret.encode()).hexdigest()
    assert first.secret not in repr(listed(store))


def test_a_revoked_key_is_gone_and_the_others_stay(store: MemoryStore, clock: Clock) -> None:
    gone, kept = (issue_key(cast(ObjectStore, store), "acme") for _ in range(2))
    keys = directory(store)
    for issued in (gone, kept):
        find(keys, issued.secret)
    revoke_key(cast(ObjectStore, store), "acme", gone.key.id, keep_one=True)
    assert listed(store) == [kept.key]
    clock.now += 5.1
    assert find(keys, kept.secret) == kept.key
    with pytest.raises(Unauthorized):
        find(keys, gone.secret)


def test_the_replica_that_revokes_a_key_refuses_it_at_once(store: MemoryStore, clock: Clock) -> None:
    issued = issue_key(cast(ObjectStore, store), "acme")
    keys = directory(store)
    find(keys, issued.secret)
    revoke_key(cast(ObjectStore, store), "acme", issued.key.id, keep_one=False)
    keys.forget(issued.key.id)
    with pytest.raises(Unauthorized):
        find(keys, issued.secret)


def test_the_last_valid_key_is_kept_unless_the_operator_revokes_it(store: MemoryStore) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired = issue_key(cast(ObjectStore, store), "acme", expires_at=past)
    last = issue_key(cast(ObjectStore, store), "acme")
    with pytest.raises(LastKey):
        revoke_key(cast(ObjectStore, store), "acme", last.key.id, keep_one=True)
    revoke_key(cast(ObjectStore, store), "acme", expired.key.id, keep_one=True)
    assert listed(store) == [last.key]
    revoke_key(cast(ObjectStore, store), "acme", last.key.id, keep_one=False)
    assert store.objects == {}


@pytest.mark.parametrize("key_id", ["", "key_0000000000000000", "../x", "x" * 10_000])
def test_another_accounts_key_cannot_be_revoked_nor_one_that_is_not_there(store: MemoryStore, key_id: str) -> None:
    theirs = issue_key(cast(ObjectStore, store), "other")
    made(store)
    for wanted in (theirs.key.id, key_id):
        with pytest.raises(KeyNotFound) as error:
            revoke_key(cast(ObjectStore, store), "acme", wanted, keep_one=True)
        assert len(error.value.message) < 150
    assert listed(store, "other") == [theirs.key]


def test_a_creation_or_revocation_that_was_cut_off_leaves_no_key_that_is_not_listed(store: MemoryStore) -> None:
    issued = issue_key(cast(ObjectStore, store), "acme")
    store.objects = {name: body for name, body in store.objects.items() if "key-lists" in name}
    assert listed(store) == []
    with pytest.raises(Unauthorized):
        find(directory(store), issued.secret)
    revoke_key(cast(ObjectStore, store), "acme", issued.key.id, keep_one=False)
    assert store.objects == {}


def test_a_stack_keeps_its_key_until_that_is_revoked_and_then_has_another(store: MemoryStore) -> None:
    bucket = cast(ObjectStore, store)
    first = working_key(bucket, "acme", None)
    assert working_key(bucket, "acme", first) == first
    for _ in range(99):
        made(store)
    revoke_key(bucket, "acme", find(directory(store), first).id, keep_one=True)
    made(store)
    second = working_key(bucket, "acme", first)
    assert second != first
    assert find(directory(store), second).account == "acme"


def test_an_account_has_a_hundred_keys_at_most(store: MemoryStore) -> None:
    for _ in range(100):
        made(store)
    with pytest.raises(TooManyKeys, match="100 keys"):
        made(store)
    assert made(store, "other")
