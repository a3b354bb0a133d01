"""Keys, usage and request limits over HTTP on a real S3 server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from pipelines.layout import KEYS_PREFIX
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app import api
from serve_app.accounts import ApiKey, create_key, require_room, revoke_key, store_key
from serve_app.api import build_app
from serve_app.usage import Usage, UsageLedger
from tests.integration.storage.conftest import S3Server
from tests.integration.storage.test_api import error

ADMIN_KEY = "admin-" + "a" * 32


@pytest.fixture
def settings(gateway_server: S3Server) -> Settings:
    return gateway_server.settings().model_copy(update={"admin_key": SecretStr(ADMIN_KEY), "requests_per_minute": 0})


@pytest.fixture
def account() -> str:
    return f"acme-{secrets.token_hex(6)}"


class KeyRegistry:
    """Keeps keys as the real registry does, but for its lock."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def add_key(self, key: ApiKey, key_hash: str) -> None:
        require_room(self._store, key.account)
        store_key(self._store, key, key_hash)

    async def revoke_key(self, account: str, key_id: str, *, keep_one: bool) -> None:
        revoke_key(self._store, account, key_id, keep_one)

    def started(self) -> nullcontext[None]:
        return nullcontext()


@pytest.fixture(autouse=True)
def registry(gateway_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "RegistryClient", lambda _: KeyRegistry(gateway_store))


def connected(settings: Settings, key: str) -> TestClient:
    client = TestClient(build_app(settings), raise_server_exceptions=False)
    client.headers["Authorization"] = f"Bearer {key}"
    return client


@pytest.fixture
def client(settings: Settings, gateway_store: ObjectStore, account: str) -> Iterator[TestClient]:
    with connected(settings, create_key(gateway_store, account)) as client:
        yield client


@pytest.fixture
def admin(settings: Settings) -> Iterator[TestClient]:
    with connected(settings, ADMIN_KEY) as client:
        yield client


def made(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/keys", json=fields)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_is_made_used_listed_and_revoked(client: TestClient, gateway_store: ObjectStore, account: str) -> None:
    expires_at = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    new = made(client, name=" nightly ", expires_at=expires_at.isoformat())
    assert list(new) == ["id", "account", "name", "prefix", "created_at", "expires_at", "key"]
    assert (new["account"], new["name"], new["prefix"]) == (account, "nightly", new["key"][:7])
    assert new["expires_at"] == expires_at.isoformat().replace("+00:00", "Z")

    listed = client.get("/v1/keys", headers=bearer(new["key"]))
    assert listed.status_code == 200
    assert new["key"] not in listed.text
    old, shown = listed.json()
    assert shown == {name: value for name, value in new.items() if name != "key"}
    stored = b"".join(gateway_store.get(entry.key) for entry in gateway_store.list(KEYS_PREFIX))
    assert new["key"].encode() not in stored

    revoked = client.delete(f"/v1/keys/{new['id']}")
    assert (revoked.status_code, revoked.json()) == (200, {"id": new["id"], "deleted": True})
    error(client.get("/v1/keys", headers=bearer(new["key"])), 401, "UNAUTHORIZED")
    error(client.delete(f"/v1/keys/{new['id']}"), 404, "NOT_FOUND")
    assert [key["id"] for key in client.get("/v1/keys").json()] == [old["id"]]


def test_another_replica_refuses_a_revoked_key_within_the_cache_time(settings: Settings, client: TestClient) -> None:
    new = made(client)
    with connected(settings.model_copy(update={"key_cache_seconds": 0.0}), new["key"]) as other_replica:
        assert other_replica.get("/v1/keys").status_code == 200
        client.delete(f"/v1/keys/{new['id']}")
        error(other_replica.get("/v1/keys"), 401, "UNAUTHORIZED")


def test_a_key_revokes_itself_unless_it_is_the_last(client: TestClient) -> None:
    (own,) = client.get("/v1/keys").json()
    assert "last valid key" in error(client.delete(f"/v1/keys/{own['id']}"), 409, "CONFLICT")["message"]
    made(client)
    assert client.delete(f"/v1/keys/{own['id']}").status_code == 200
    error(client.get("/v1/keys"), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": 4_000_000_000}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"nome": "x"}, "nome"),
        ([], "body"),
    ],
)
def test_a_key_that_is_asked_for_wrongly_is_a_422(client: TestClient, body: Any, field: str) -> None:
    assert error(client.post("/v1/keys", json=body), 422, "VALIDATION_ERROR")["details"] == {"field": field}


def test_a_time_that_is_none_is_refused_with_what_was_seen(client: TestClient) -> None:
    refused = client.post("/v1/keys", json={"expires_at": "soon"})
    assert error(refused, 422, "VALIDATION_ERROR")["message"] == (
        "expires_at: must be a time with its zone as text, such as 2027-01-31T00:00:00Z; seen: 'soon' (4 characters)"
    )
    refused = client.get("/v1/usage?from=soon")
    assert error(refused, 422, "VALIDATION_ERROR")["message"] == (
        "from: must be a day such as 2026-11-24; seen: 'soon' (4 characters)"
    )


def test_half_of_a_surrogate_pair_is_a_422(client: TestClient) -> None:
    for body in (b'{"name":"\\ud800"}', b'{"account":"\\ud800"}', b'{"\\ud800":1}', b'{"expires_at":"\\ud800"}'):
        answer = client.post("/v1/keys", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (404, 422), answer.text


def test_a_key_may_be_asked_for_without_a_body(client: TestClient) -> None:
    assert client.post("/v1/keys").json()["name"] is None


def test_another_accounts_keys_are_a_404(client: TestClient, gateway_store: ObjectStore) -> None:
    with connected(client.app.state.services.settings, create_key(gateway_store, "victim")) as victim:
        theirs = victim.get("/v1/keys").json()[0]
        error(client.post("/v1/keys", json={"account": "victim"}), 404, "NOT_FOUND")
        error(client.get("/v1/keys?account=victim"), 404, "NOT_FOUND")
        error(client.get("/v1/usage?account=victim"), 404, "NOT_FOUND")
        error(client.delete(f"/v1/keys/{theirs['id']}"), 404, "NOT_FOUND")
        error(client.delete(f"/v1/keys/{theirs['id']}?account=victim"), 404, "NOT_FOUND")
        assert theirs in victim.get("/v1/keys").json()


def test_the_admin_key_makes_accounts_and_revokes_their_last_key(
    admin: TestClient, client: TestClient, account: str
) -> None:
    new = made(admin, account=f"{account}-new")
    assert client.get("/v1/keys", headers=bearer(new["key"])).json()[0]["account"] == f"{account}-new"
    listed = admin.get(f"/v1/keys?account={account}-new").json()
    assert [key["id"] for key in listed] == [new["id"]]
    assert admin.delete(f"/v1/keys/{new['id']}?account={account}-new").status_code == 200
    assert admin.get(f"/v1/keys?account={account}-new").json() == []


def test_the_admin_key_has_no_account_of_its_own(admin: TestClient) -> None:
    for method, path in (("GET", "/v1/batch"), ("GET", "/v1/batch/batch_0000000000000000")):
        assert "admin key" in error(admin.request(method, path), 401, "UNAUTHORIZED")["message"]
    for path in ("/v1/keys", "/v1/keys?account=../x", "/v1/usage"):
        assert error(admin.get(path), 422, "VALIDATION_ERROR")["details"] == {"field": "account"}
    assert error(admin.post("/v1/keys"), 422, "VALIDATION_ERROR")["details"] == {"field": "account"}


def test_without_an_admin_key_nobody_is_the_admin(settings: Settings) -> None:
    for key in ("", "None", ADMIN_KEY):
        with connected(settings.model_copy(update={"admin_key": None}), key) as nobody:
            error(nobody.get("/v1/keys?account=acme"), 401, "UNAUTHORIZED")


def test_usage_is_told_by_day_with_its_cost(client: TestClient, gateway_store: ObjectStore, account: str) -> None:
    ledger = UsageLedger(gateway_store)
    ledger.record(account, date(2026, 11, 2), "batch_1", Usage(jobs=1, items=10, items_failed=1, tokens=2_000_000))
    ledger.record(account, date(2026, 11, 3), "calls-1", Usage(calls=5, items=5, tokens=500_000))
    ledger.record(account, date(2026, 11, 4), "batch_2", Usage(jobs=1, items=1, tokens=1))
    report = client.get("/v1/usage?from=2026-11-01&to=2026-11-03").json()
    assert (report["account"], report["from"], report["to"]) == (account, "2026-11-01", "2026-11-03")
    nothing = {"jobs": 0, "items": 0, "items_failed": 0, "calls": 0, "tokens": 0, "cost_usd": 0}
    assert report["days"] == [
        {"date": "2026-11-01", **nothing},
        {
            "date": "2026-11-02",
            **nothing,
            "jobs": 1,
            "items": 10,
            "items_failed": 1,
            "tokens": 2_000_000,
            "cost_usd": 0.16,
        },
        {"date": "2026-11-03", **nothing, "calls": 5, "items": 5, "tokens": 500_000, "cost_usd": 0.04},
    ]
    total = {"jobs": 1, "items": 15, "items_failed": 1, "calls": 5, "tokens": 2_500_000, "cost_usd": 0.2}
    assert report["total"] == total


def test_usage_is_of_the_last_thirty_days_unless_said_otherwise(client: TestClient) -> None:
    report = client.get("/v1/usage").json()
    assert len(report["days"]) == 30
    assert report["to"] == datetime.now(UTC).date().isoformat()


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-11-02&to=2026-11-01",
        "from=2020-01-01&to=2026-01-01",
        "from=0001-01-01",
        "to=x",
        "from=",
        "to=2026-13-01",
        "to=0",
        "to=2026-11-01T00:00:00",
    ],
)
def test_a_range_that_is_none_or_too_long_is_a_422(client: TestClient, query: str) -> None:
    error(client.get(f"/v1/usage?{query}"), 422, "VALIDATION_ERROR")


@pytest.mark.parametrize("last", ["0001-01-01", "9999-12-31"])
def test_the_first_and_the_last_day_of_the_calendar_are_days(client: TestClient, last: str) -> None:
    assert client.get(f"/v1/usage?to={last}").status_code == 200


def test_every_answer_to_a_key_tells_what_is_left_of_its_limit_and_what_is_over_it_is_a_429(
    settings: Settings, gateway_store: ObjectStore, account: str
) -> None:
    limited = settings.model_copy(update={"requests_per_minute": 3})
    with connected(limited, create_key(gateway_store, account)) as client:
        answers = [client.get(path) for path in ("/v1/keys", "/v1/nothing", "/v1/keys/")]
        assert [answer.status_code for answer in answers] == [200, 404, 404]
        assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0"]
        refused = client.post("/v1/keys", content=b"{")
        body = error(refused, 429, "RATE_LIMITED")
        assert body["details"] == {"limit": 3, "retry_after": int(refused.headers["retry-after"])}
        assert 40 <= int(refused.headers["retry-after"]) <= 61
        assert refused.headers["x-ratelimit-limit"] == "3"
        assert 40 <= int(refused.headers["x-ratelimit-reset"]) <= 61
        other_key = create_key(gateway_store, account)
        assert client.get("/v1/keys", headers=bearer(other_key)).status_code == 200
        unknown = client.get("/v1/keys", headers=bearer("lw_unknown"))
        assert error(unknown, 401, "UNAUTHORIZED")
        assert "x-ratelimit-limit" not in unknown.headers
        assert "x-ratelimit-limit" not in client.get("/health").headers


def test_without_a_limit_nothing_is_told_of_one(client: TestClient) -> None:
    assert "x-ratelimit-limit" not in client.get("/v1/keys").headers


def test_a_request_without_a_key_is_a_401_before_anything_else_is_looked_at(client: TestClient) -> None:
    del client.headers["Authorization"]
    json_type = {"Content-Type": "application/json"}
    for method, path, body in (
        ("POST", "/v1/batch", b"{"),
        ("POST", "/v1/batch", b"x" * 2_000_000),
        ("GET", "/v1/nothing", b""),
        ("PUT", "/v1/batch", b""),
        ("GET", "/v1/batch/", b""),
    ):
        error(client.request(method, path, content=body, headers=json_type), 401, "UNAUTHORIZED")


def test_a_path_with_a_slash_too_many_is_a_404(client: TestClient) -> None:
    for path in ("/v1/batch/", "/v1/keys/", "/v1//batch", "/v1/batch/batch_0000000000000000/"):
        assert "/docs" in error(client.get(path), 404, "NOT_FOUND")["message"]
