"""Who waits for the storage when keys are looked up, and who does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from pydantic import SecretStr

from pipelines.exceptions import Unavailable
from pipelines.object_store import ObjectStore
from serve_app import key_directory
from serve_app.accounts import create_key
from serve_app.authentication import Authenticator, Caller
from serve_app.exceptions import Unauthorized
from serve_app.key_directory import KeyDirectory
from tests.unit.serve_app.memory_store import MemoryStore

ADMIN_KEY = "a" * 40


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class StallingStore(MemoryStore):
    """Answers of the objects in ``stalled``, or of all that are not there, wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.stalled: set[str] = set()
        self.stalls_missing = False
        self.let_go = threading.Event()

    def get(self, key: str) -> bytes:
        if key in self.stalled or (self.stalls_missing and key not in self.objects):
            assert self.let_go.wait(60)
        return super().get(key)


@pytest.fixture
def store() -> Iterator[StallingStore]:
    store = StallingStore()
    yield store
    store.let_go.set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(key_directory, "time", clock)
    return clock


@pytest.fixture
def keys(store: StallingStore, clock: Clock) -> KeyDirectory:
    return KeyDirectory(cast(ObjectStore, store), cache_seconds=5.0)


def made(store: StallingStore, account: str = "acme") -> str:
    return create_key(cast(ObjectStore, store), account)


def guess(number: int) -> str:
    return f"lw_{number:043d}"


def ran(test: Coroutine[Any, Any, None]) -> None:
    async def within_a_minute() -> None:
        async with asyncio.timeout(60):
            await test

    asyncio.run(within_a_minute())


def test_calls_that_need_a_key_at_the_same_time_look_it_up_once(store: StallingStore, keys: KeyDirectory) -> None:
    key = made(store)

    async def test() -> None:
        found = await asyncio.gather(*(keys.find(key) for _ in range(50)))
        assert {each.account for each in found} == {"acme"}
        refused = await asyncio.gather(*(keys.find(guess(1)) for _ in range(50)), return_exceptions=True)
        assert {type(each) for each in refused} == {Unauthorized}

    ran(test())
    assert store.reads == 2


def test_a_caller_that_goes_away_takes_no_answer_from_those_who_wait_with_it(
    store: StallingStore, keys: KeyDirectory
) -> None:
    key = made(store)
    store.stalled = set(store.objects)

    async def test() -> None:
        first, second = (asyncio.create_task(keys.find(key)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        store.let_go.set()
        assert (await second).account == "acme"

    ran(test())
    assert store.reads == 1


def test_while_the_storage_stalls_a_remembered_key_and_the_admin_key_wait_for_nothing(
    store: StallingStore, keys: KeyDirectory
) -> None:
    remembered, others = made(store), [made(store) for _ in range(40)]
    authenticator = Authenticator(keys, SecretStr(ADMIN_KEY))

    async def test() -> None:
        await keys.find(remembered)
        store.stalled = set(store.objects)
        waiting = [asyncio.create_task(keys.find(other)) for other in others]
        await asyncio.sleep(0)
        assert (await authenticator.caller(f"Bearer {remembered}")).account == "acme"
        assert await authenticator.caller(f"Bearer {ADMIN_KEY}") == Caller("admin", None)
        store.let_go.set()
        await asyncio.gather(*waiting)

    ran(test())


def test_guesses_that_wait_for_the_storage_keep_no_good_key_waiting(
    store: StallingStore, keys: KeyDirectory, clock: Clock
) -> None:
    good = made(store)

    async def test() -> None:
        await keys.find(good)
        store.stalls_missing = True
        waiting = []
        for first in (0, 100):
            waiting += [asyncio.create_task(keys.find(guess(first + number))) for number in range(100)]
            await asyncio.sleep(0)
            clock.now += 21
        # Its time is up too: it is read again.
        assert (await keys.find(good)).account == "acme"
        with pytest.raises(Unavailable, match="Too many unknown API keys"):
            await keys.find(guess(200))
        store.let_go.set()
        refused = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(each) for each in refused} == {Unauthorized}
        with pytest.raises(Unauthorized):
            await keys.find(guess(200))

    ran(test())


def test_slow_calls_keep_no_key_waiting(store: StallingStore, keys: KeyDirectory) -> None:
    key = made(store)
    done = threading.Event()

    async def test() -> None:
        # As many threads as Serve gives a replica that asks for no CPU.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(5))
        slow = [asyncio.create_task(asyncio.to_thread(done.wait, 60)) for _ in range(50)]
        await asyncio.sleep(0)
        assert (await keys.find(key)).account == "acme"
        done.set()
        await asyncio.gather(*slow)

    ran(test())
