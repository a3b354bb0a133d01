"""Who waits for whom when an account has several calls at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from pipelines.exceptions import StorageUnavailable, Unavailable
from serve_app.account_turns import AccountTurns
from serve_app.storage_places import StoragePlaces
from tests.unit.serve_app.skipped_time import ran


async def at_once() -> None:
    """Ready."""


def turns(places: int = 100, seconds: float = 15.0) -> AccountTurns:
    # The storage answers no call.
    return AccountTurns(at_once, StoragePlaces(places, 0.0, lambda: 0.0), seconds)


class Calls:
    """Notes which calls are under way, and the most there were at a time."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(1)
        yield
        self.now -= 1


Turn = Callable[[AccountTurns, str], AbstractAsyncContextManager[object]]
KINDS: list[Turn] = [AccountTurns.exclusively, AccountTurns.in_turn, AccountTurns.of]


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_calls_of_one_account_are_made_one_after_another_and_those_of_two_beside_each_other(
    first: Turn, second: Turn
) -> None:
    async def most(account: str, other: str) -> int:
        shared, calls = turns(), Calls()

        async def call(turn: AbstractAsyncContextManager[object]) -> None:
            async with turn, calls.counted():
                pass

        await asyncio.gather(call(first(shared, account)), call(second(shared, other)))
        return calls.most

    async def test() -> None:
        assert (await most("acme", "acme"), await most("acme", "other")) == (1, 2)

    ran(test())


def test_a_call_whose_turn_does_not_come_in_time_is_refused_and_keeps_no_later_one_from_its_turn() -> None:
    async def test() -> None:
        shared = turns(seconds=15.0)
        async with shared.of("acme"):
            for turn in (shared.exclusively("acme"), shared.in_turn("acme")):
                with pytest.raises(Unavailable, match="An earlier call of this account"):
                    await turn.__aenter__()
        async with shared.exclusively("acme"):
            assert shared.is_busy("acme")

    ran(test())


def test_an_account_is_busy_while_a_call_has_its_turn_also_where_that_fails() -> None:
    async def test() -> None:
        shared = turns()
        assert not shared.is_busy("acme")

        async def broken() -> None:
            async with shared.in_turn("acme"):
                assert (shared.is_busy("acme"), shared.is_busy("other")) == (True, False)
                raise ValueError("it broke")

        with pytest.raises(ValueError, match="it broke"):
            await broken()
        assert not shared.is_busy("acme")

    ran(test())


def test_while_the_storage_does_not_answer_only_changes_that_take_long_are_made_without_a_place() -> None:
    async def test() -> None:
        shared = turns(places=1)
        async with shared.exclusively("one"):
            with pytest.raises(StorageUnavailable, match="1 calls wait"):
                await shared.exclusively("two").__aenter__()
            assert not shared.is_busy("two")
            async with shared.in_turn("two"):
                assert shared.is_busy("two")

    ran(test())
