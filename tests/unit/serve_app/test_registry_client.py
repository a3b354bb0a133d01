"""What an API replica makes of a registry that does not answer."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError, RayError

from pipelines.exceptions import Unavailable
from pipelines.settings import Settings
from serve_app import registry_client
from serve_app.accounts import new_key
from serve_app.errors import error_response
from serve_app.exceptions import KeyUncertain
from serve_app.registry import JobRegistry
from serve_app.registry_client import RegistryClient
from tests.unit.serve_app.skipped_time import ran


class SilentRegistry:
    """An actor that takes every call and never answers, or whose process is lost with it."""

    def __init__(self, lost: Exception | None) -> None:
        self._lost = lost

    @property
    def answer(self) -> SilentRegistry:
        return self

    def remote(self, *_call: Any) -> asyncio.Future[None]:
        answer = asyncio.get_running_loop().create_future()
        if self._lost:
            answer.set_exception(self._lost)
        return answer


class CalledRegistry:
    """A registry of this process, called as an actor is."""

    def __init__(self, registry: JobRegistry) -> None:
        self._registry = registry

    @property
    def answer(self) -> CalledRegistry:
        return self

    def remote(self, *call: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(self._registry.answer(*call))


@pytest.fixture(params=[None, ActorUnavailableError("gone", None)], ids=["silent", "lost"])
def registry(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RegistryClient:
    monkeypatch.setattr(registry_client, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(registry_client, "connect_registry", lambda _: SilentRegistry(request.param))
    return RegistryClient(Settings())


def test_a_call_that_may_be_repeated_is_asked_for_again(registry: RegistryClient) -> None:
    with pytest.raises(Unavailable):
        asyncio.run(registry.get("acme", "batch_1"))


def test_clients_are_told_that_a_call_without_an_answer_may_have_been_carried_out(registry: RegistryClient) -> None:
    with pytest.raises(Unavailable) as unanswered:
        asyncio.run(registry.delete("acme", "batch_1"))
    answer = error_response(pickle.loads(pickle.dumps(unanswered.value)))
    assert (answer.status_code, json.loads(answer.body)["details"]) == (503, {"uncertain": True})


def test_a_key_that_may_have_been_stored_is_not_asked_for_again_but_named(registry: RegistryClient) -> None:
    issued = new_key("acme")
    with pytest.raises(KeyUncertain) as uncertain:
        asyncio.run(registry.add_key(issued.key, issued.key_hash))
    assert uncertain.value.details == {"id": issued.key.id}
    assert not isinstance(uncertain.value, Unavailable)


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("loaded_after_seconds", [0, 9])
def test_a_key_that_waits_for_a_long_call_of_its_account_in_vain_is_known_not_to_be_made(
    loaded_after_seconds: int,
) -> None:
    issued = new_key("acme")

    async def test() -> None:
        registry = JobRegistry(Settings())
        registry._background.cancel()
        asyncio.get_running_loop().call_later(loaded_after_seconds, registry._loaded.set)
        client = RegistryClient(Settings())
        client._actor = CalledRegistry(registry)
        async with registry._turns.of("acme"):
            with pytest.raises(Unavailable, match="An earlier call of this account") as refused:
                await client.add_key(issued.key, issued.key_hash)
        assert refused.value.details == {}

    ran(test())


def test_a_registry_is_started_once_without_any_call_and_where_that_fails_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    def connect(_: Settings) -> None:
        tried.append("")
        if len(tried) == 1:
            raise RayError("the cluster is not there yet")

    monkeypatch.setattr(registry_client, "connect_registry", connect)
    monkeypatch.setattr(registry_client, "_START_AGAIN_SECONDS", 0.001)

    async def replica() -> None:
        async with RegistryClient(Settings()).started():
            while len(tried) < 2:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.1)

    asyncio.run(asyncio.wait_for(replica(), 10))
    # Ray restarts one that dies.
    assert len(tried) == 2
