"""What no call lets pass in silence, over HTTP on a real S3 server."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pipelines.object_store import ObjectStore
from serve_app import api
from serve_app.accounts import create_key
from serve_app.api import build_app
from tests.integration.storage.conftest import S3Server
from tests.integration.storage.test_api import MemoryRegistry, create, error


@pytest.fixture
def client(
    gateway_server: S3Server, gateway_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    registry = MemoryRegistry()
    monkeypatch.setattr(api, "RegistryClient", lambda _: registry)
    with TestClient(build_app(gateway_server.settings()), raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {create_key(gateway_store, 'acme')}"
        yield client


def test_every_call_that_has_a_body_takes_priority_and_cache(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    bodies = [
        call["requestBody"]["content"]["application/json"]["schema"]
        for methods in document["paths"].values()
        for call in methods.values()
        if "requestBody" in call
    ]
    assert len(bodies) >= 8
    for body in bodies:
        (named,) = [each["$ref"] for each in body.get("anyOf", [body]) if "$ref" in each]
        fields = document["components"]["schemas"][named.rpartition("/")[2]]["properties"]
        assert {"priority", "cache"} <= set(fields), named


def test_a_field_in_the_body_of_a_call_that_takes_none_is_a_422_that_names_it(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    calls = [
        (method, path)
        for path, methods in described.items()
        for method, call in methods.items()
        if method != "get" and "requestBody" not in call
    ]
    assert {("post", "/v1/batch/{job_id}/cancel"), ("delete", "/v1/batch/{job_id}")} < set(calls)
    assert {("delete", "/v1/classifiers/{name}"), ("delete", "/v1/keys/{key_id}")} < set(calls)
    job_id = create(client)["job_id"]
    for method, path in calls:
        for body in ({"dry_run": True}, {"cache": False, "dry_run": None}):
            answer = client.request(method, path.format(job_id=job_id, name="mine", key_id="key_1"), json=body)
            refused = error(answer, 422, "VALIDATION_ERROR")
            assert (refused["message"], refused["details"]) == ("Unknown field 'dry_run'", {"field": "dry_run"})
    assert client.get(f"/v1/batch/{job_id}").json()["status"] == "pending"


def test_a_version_in_the_body_of_a_deletion_is_a_422_that_says_where_it_belongs(client: TestClient) -> None:
    refused = error(client.request("DELETE", "/v1/classifiers/mine", json={"version": 2}), 422, "VALIDATION_ERROR")
    assert refused["message"] == "version: is a query parameter of this call, not a field of its body"
    assert refused["details"] == {"field": "version"}


@pytest.mark.parametrize(
    ("content", "content_type", "message"),
    [
        (b"[1]", "application/json", "body: Input should be a valid dictionary"),
        (b"{", "application/json", "The body is not valid JSON"),
        (b'{"\\ud800":1}', "application/json", "body: Input should be a valid string"),
        (b'{"dry_run":true}', "text/plain", "The body must be JSON"),
        (b"dry_run=true", "application/x-www-form-urlencoded", "The body must be JSON"),
        (b"\xff", "", "The body must be JSON"),
    ],
)
def test_a_body_of_a_deletion_that_cannot_be_meant_is_a_422(
    client: TestClient, content: bytes, content_type: str, message: str
) -> None:
    path = f"/v1/batch/{create(client)['job_id']}"
    answer = client.request("DELETE", path, content=content, headers={"Content-Type": content_type})
    assert error(answer, 422, "VALIDATION_ERROR")["message"].startswith(message)
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("body", [None, {}, {"priority": "high", "cache": False}])
def test_a_deletion_takes_no_body_or_one_that_says_nothing(client: TestClient, body: Any) -> None:
    path = f"/v1/batch/{create(client)['job_id']}"
    assert client.request("DELETE", path, json=body).status_code == 200
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/v1/classifiers/mine?version=1&version=2", "version"),
        ("DELETE", "/v1/classifiers/mine?version=1&version=1", "version"),
        ("GET", "/v1/usage?from=2026-11-01&to=2026-11-02&from=2026-11-02", "from"),
    ],
)
def test_a_query_parameter_that_is_there_twice_is_a_422_that_names_it(
    client: TestClient, method: str, path: str, name: str
) -> None:
    refused = error(client.request(method, path), 422, "VALIDATION_ERROR")
    assert refused["message"] == f"The query parameter {name} is there 2 times; send it once"
    assert refused["details"] == {"field": name}


def test_a_compressed_body_is_a_422_that_asks_for_it_as_it_is(client: TestClient) -> None:
    body, headers = b'{"labels":["a"]}', {"Content-Type": "application/json"}
    answer = client.post("/v1/batch", content=gzip.compress(body), headers={**headers, "Content-Encoding": "gzip"})
    refused = error(answer, 422, "VALIDATION_ERROR")
    assert refused["message"] == "Send the body uncompressed; Content-Encoding 'gzip' is not supported"
    assert refused["details"] == {"field": "content-encoding"}
    as_it_is = client.post("/v1/batch", content=body, headers={**headers, "Content-Encoding": "identity"})
    assert as_it_is.status_code == 201
