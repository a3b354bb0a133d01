"""Whose requests take whose place, over ASGI as a server would hand them over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app import api
from serve_app.accounts import create_key
from serve_app.api import build_app
from serve_app.bodies import BodyLimitMiddleware
from serve_app.load_limits import LoadLimitMiddleware
from tests.unit.serve_app.memory_store import MemoryStore

IN_FLIGHT = 10
OF_ONE_ACCOUNT = 5


@dataclass
class Exchange:
    """A request whose client sends ``body`` chunk by chunk, and ends it or waits; and what it is answered."""

    method: str
    path: str
    key: str = ""
    body: tuple[bytes, ...] = ()
    ends: bool = True
    waits: bool = False
    sent: list[Message] = field(default_factory=list)

    async def through(self, app: Any) -> Exchange:
        messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in self.body]
        if self.ends:
            messages.append({"type": "http.request", "body": b"", "more_body": False})

        async def receive() -> Message:
            if messages:
                return messages.pop(0)
            self.waits = True
            return await asyncio.get_running_loop().create_future()

        async def send(message: Message) -> None:
            self.sent.append(message)

        headers = [(b"authorization", f"Bearer {self.key}".encode())] if self.key else []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "headers": [*headers, (b"content-type", b"application/json")],
        }
        await app(scope, receive, send)
        return self

    @property
    def status(self) -> int | None:
        """None while there is no answer."""
        return self.sent[0]["status"] if self.sent else None

    @property
    def retry_after(self) -> bytes | None:
        return dict(self.sent[0]["headers"]).get(b"retry-after")

    @property
    def answer(self) -> Any:
        return json.loads(b"".join(message.get("body", b"") for message in self.sent))


@dataclass
class Service:
    app: FastAPI
    store: MemoryStore

    def key(self, account: str) -> str:
        return create_key(cast(ObjectStore, self.store), account)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    store = MemoryStore()
    monkeypatch.setattr(api, "ObjectStore", lambda *_, **__: store)
    return Service(build_app(Settings(requests_in_flight=IN_FLIGHT)), store)


async def begun(app: Any, *exchanges: Exchange) -> list[asyncio.Task[Exchange]]:
    """All of them on their way: each is answered, or waits for what its client does not send."""
    tasks = [asyncio.create_task(exchange.through(app)) for exchange in exchanges]
    while not all(exchange.sent or exchange.waits for exchange in exchanges):
        await asyncio.sleep(0.01)
    return tasks


async def ended(tasks: list[asyncio.Task[Exchange]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def ran(test: Coroutine[Any, Any, None]) -> None:
    async def within_a_minute() -> None:
        async with asyncio.timeout(60):
            await test

    asyncio.run(within_a_minute())


@pytest.mark.parametrize("path", ["/docs", "/health", "/", "/v2/batch"])
def test_a_body_that_no_call_wants_is_not_waited_for(service: Service, path: str) -> None:
    async def test() -> None:
        for _ in range(2 * IN_FLIGHT):
            assert (await Exchange("POST", path, ends=False).through(service.app)).status in (404, 405)

    ran(test())


def test_calls_without_a_key_are_refused_before_their_body_arrives(service: Service) -> None:
    async def test() -> None:
        assert (await Exchange("POST", "/v1/batch", ends=False).through(service.app)).status == 401

    ran(test())


def test_bodies_on_their_way_take_no_place_of_another_account(service: Service) -> None:
    one, other, third = (service.key(name) for name in ("one", "other", "third"))

    async def test() -> None:
        slow = [Exchange("POST", "/v1/batch", key, (b"{",), ends=False) for key in [one, other] * OF_ONE_ACCOUNT]
        waiting = await begun(service.app, *slow)
        assert all(exchange.waits for exchange in slow)
        assert (await Exchange("GET", "/v1/keys", third).through(service.app)).status == 200
        await ended(waiting)

    ran(test())


def test_an_account_has_half_of_the_places_whichever_of_its_keys_it_uses(service: Service) -> None:
    keys = [service.key("one") for _ in range(3)]

    async def test() -> None:
        slow = [Exchange("POST", "/v1/batch", key, ends=False) for key in keys for _ in range(OF_ONE_ACCOUNT)]
        tasks = await begun(service.app, *slow)
        refused = [exchange for exchange in slow if exchange.status]
        assert len(refused) == 2 * OF_ONE_ACCOUNT
        assert {(exchange.status, exchange.answer["code"], exchange.retry_after) for exchange in refused} == {
            (429, "RATE_LIMITED", b"1")
        }
        assert f"{OF_ONE_ACCOUNT} requests of this account" in refused[0].answer["message"]
        await ended(tasks)
        assert (await Exchange("GET", "/v1/keys", keys[0]).through(service.app)).status == 200

    ran(test())


def test_what_comes_on_top_of_the_requests_in_flight_is_a_503_until_one_of_them_ends() -> None:
    async def test() -> None:
        async def app(_scope: Scope, receive: Receive, send: Send) -> None:
            while (await receive())["more_body"]:
                pass
            await send({"type": "http.response.start", "status": 200, "headers": []})

        limited = LoadLimitMiddleware(app, limit=2)
        tasks = await begun(limited, *(Exchange("GET", "/v1/batch", ends=False) for _ in range(2)))
        refused = await Exchange("GET", "/v1/batch").through(limited)
        assert (refused.status, refused.retry_after) == (503, b"5")
        await ended(tasks)
        assert (await Exchange("GET", "/v1/batch").through(limited)).status == 200

    ran(test())


def test_what_bodies_on_their_way_hold_together_is_bounded() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "http.request", "body": b"x" * 1000, "more_body": False}
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def test() -> None:
        limited = BodyLimitMiddleware(app, seconds=30, arriving_bytes=1500)
        whole = Exchange("POST", "/v1/batch", body=(b"x" * 1000,))
        tasks = await begun(limited, Exchange("POST", "/v1/batch", body=(b"x" * 1000,), ends=False))
        refused = await whole.through(limited)
        assert (refused.status, refused.retry_after) == (503, b"5")
        await ended(tasks)
        for _ in range(3):
            assert (await Exchange("POST", "/v1/batch", body=(b"x" * 1000,)).through(limited)).status == 200

    ran(test())
