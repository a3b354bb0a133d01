"""The HTTP API on a real S3 server, with a registry in memory instead of Ray's."""

from __future__ import annotations

import base64
import json
import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from pipelines.exceptions import Unavailable
from pipelines.job import InputVersion, JobConfig, JobRecord, TaskConfig
from pipelines.job_transitions import Completed, DriverAssigned, Event, Failed, Started, require_deletable, transition
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.plan import Plan, PlannedRange
from pipelines.shards import ShardOrigin, ShardReceipt, write_shard
from serve_app import api, request_log
from serve_app.accounts import create_key
from serve_app.api import build_app
from serve_app.classifier_repository import ClassifierRepository
from serve_app.exceptions import AccountBusy, IdempotencyConflict, JobNotFound
from serve_app.job_repository import IdempotencyKey
from tests.integration.storage.conftest import S3Server

DAY = timedelta(days=1)


class MemoryRegistry:
    """Keeps jobs as the real registry does, by the same transitions."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}
        self.keys: dict[tuple[str, str], tuple[str, str]] = {}
        self.down = False

    async def create(
        self, account: str, job_id: str, config: JobConfig, idempotency: IdempotencyKey | None
    ) -> JobRecord:
        if self.down:
            raise Unavailable("The job registry is restarting. Try again shortly.")
        if idempotency:
            known, body = self.keys.setdefault((account, idempotency.key_hash), (job_id, idempotency.body_hash))
            if body != idempotency.body_hash:
                raise IdempotencyConflict
            if known != job_id:
                return self.jobs[known]
        self.jobs[job_id] = JobRecord(job_id=job_id, account=account, config=config, created_at=datetime.now(UTC))
        return self.jobs[job_id]

    async def created_before(self, account: str, idempotency: IdempotencyKey) -> JobRecord | None:
        job_id, body = self.keys.get((account, idempotency.key_hash), ("", idempotency.body_hash))
        if body != idempotency.body_hash:
            raise IdempotencyConflict
        return self.jobs.get(job_id)

    async def get(self, account: str, job_id: str) -> JobRecord:
        job = self.jobs.get(job_id)
        if job is None or job.account != account:
            raise JobNotFound(f"There is no job {job_id[:50]}.")
        return job

    async def newest(self, account: str, limit: int) -> list[JobRecord]:
        mine = [job for job in self.jobs.values() if job.account == account]
        return sorted(mine, key=lambda job: job.created_at, reverse=True)[:limit]

    async def start(
        self, account: str, job_id: str, version: InputVersion, estimated_tokens: int, start_key: str | None
    ) -> JobRecord:
        job = await self.get(account, job_id)
        if any(other.status == "processing" and other.account == account for other in self.jobs.values()):
            raise AccountBusy
        self.jobs[job_id] = transition(job, Started(datetime.now(UTC), version, estimated_tokens, start_key))
        return self.jobs[job_id]

    async def delete(self, account: str, job_id: str) -> None:
        require_deletable(await self.get(account, job_id))
        del self.jobs[job_id]

    async def cancel(self, account: str, job_id: str) -> JobRecord:
        await self.get(account, job_id)
        self.happen(job_id, Failed(datetime.now(UTC), "cancelled", DAY))
        return self.jobs[job_id]

    def started(self) -> nullcontext[None]:
        return nullcontext()

    def happen(self, job_id: str, *events: Event) -> None:
        for event in events:
            self.jobs[job_id] = transition(self.jobs[job_id], event)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> MemoryRegistry:
    registry = MemoryRegistry()
    monkeypatch.setattr(api, "RegistryClient", lambda settings: registry)
    return registry


@pytest.fixture
def client(gateway_server: S3Server, gateway_store: ObjectStore, registry: MemoryRegistry) -> Iterator[TestClient]:
    app = build_app(gateway_server.settings())
    with TestClient(app, raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {create_key(gateway_store, 'acme')}"
        yield client


@pytest.fixture
def other(client: TestClient, gateway_store: ObjectStore) -> dict[str, str]:
    """The headers of another account."""
    return {"Authorization": f"Bearer {create_key(gateway_store, 'other')}"}


def create(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/batch", json={"labels": ["a", "b"], **fields})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def upload(created: dict[str, Any], body: bytes) -> None:
    answer = httpx.post(created["upload_url"], data=created["upload_fields"], files={"file": ("x.ndjson", body)})
    assert answer.status_code == 204, answer.text


def error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert list(body) == ["error", "code", "message", "details", "detail"]
    assert (body["code"], body["detail"]) == (code, body["message"])
    return body


def completed(run: int) -> Completed:
    return Completed(datetime.now(UTC), run, 1, 0, 7, DAY)


CALLS = [
    ("POST", "/v1/batch"),
    ("POST", "/v1/batch/{job_id}/start"),
    ("GET", "/v1/batch"),
    ("GET", "/v1/batch/{job_id}"),
    ("GET", "/v1/batch/{job_id}/results"),
    ("POST", "/v1/batch/{job_id}/cancel"),
    ("DELETE", "/v1/batch/{job_id}"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/keys"),
    ("DELETE", "/v1/keys/{key_id}"),
    ("GET", "/v1/usage"),
]


def test_a_job_goes_from_creation_to_deletion(
    client: TestClient, registry: MemoryRegistry, gateway_store: ObjectStore
) -> None:
    created = create(client, mode="multi", threshold=0.5)
    job_id = created["job_id"]
    assert list(created) == ["job_id", "upload_url", "upload_fields", "input_key"]
    assert re.fullmatch(r"batch_[a-z0-9]{16}", job_id)
    assert created["input_key"] == f"batch/acme/{job_id}/input.ndjson"
    assert registry.jobs[job_id].config == JobConfig(labels=("a", "b"), mode="multi", threshold=0.5, model="minilm")

    upload(created, b'{"text":"hello"}\n')
    started = client.post(f"/v1/batch/{job_id}/start")
    assert (started.status_code, started.json()) == (202, {"job_id": job_id, "status": "processing"})
    status = client.get(f"/v1/batch/{job_id}").json()
    assert (status["status"], status["phase"], status["attempt"]) == ("processing", "queued", 1)
    assert status["estimated_tokens"] > 0
    assert status["actual_tokens"] is None
    error(client.post(f"/v1/batch/{job_id}/start"), 409, "CONFLICT")
    error(client.get(f"/v1/batch/{job_id}/results"), 409, "CONFLICT")
    error(client.delete(f"/v1/batch/{job_id}"), 409, "CONFLICT")

    gateway_store.put(JobPaths("acme", job_id).results, b'{"label":"a"}\n')
    registry.happen(job_id, DriverAssigned("driver-a"), completed(1))
    results = client.get(f"/v1/batch/{job_id}/results").json()
    assert list(results) == ["job_id", "download_url"]
    downloaded = httpx.get(results["download_url"])
    assert downloaded.content == b'{"label":"a"}\n'
    assert downloaded.headers["content-disposition"] == f'attachment; filename="{job_id}.ndjson"'
    error(client.post(f"/v1/batch/{job_id}/start"), 409, "CONFLICT")

    deleted = client.delete(f"/v1/batch/{job_id}")
    assert (deleted.status_code, deleted.json()) == (200, {"job_id": job_id, "deleted": True})
    error(client.get(f"/v1/batch/{job_id}"), 404, "NOT_FOUND")


def test_the_upload_form_takes_1_byte_to_5_gb(client: TestClient) -> None:
    policy = json.loads(base64.b64decode(create(client)["upload_fields"]["policy"]))
    assert ["content-length-range", 1, 5 * 1024**3] in policy["conditions"]


def test_job_ids_are_never_the_same(client: TestClient) -> None:
    assert len({create(client)["job_id"] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer lw_unknown", "Basic YTpi", "lw_unknown", "Bearer ../x"]
)
def test_without_a_known_key_every_call_is_a_401(client: TestClient, authorization: str | None) -> None:
    job_id = create(client)["job_id"]
    del client.headers["Authorization"]
    headers = {} if authorization is None else {"Authorization": authorization}
    for method, path in CALLS:
        answer = client.request(
            method, path.format(job_id=job_id, key_id="key_1"), headers=headers, json={"labels": ["a"]}
        )
        error(answer, 401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_wrong_request_without_a_key_is_a_401_that_tells_nothing_of_the_fields(client: TestClient) -> None:
    del client.headers["Authorization"]
    error(client.post("/v1/batch", json={"labelz": 1}), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if "{job_id}" in call[1]])
def test_another_accounts_job_is_a_404_as_is_one_that_is_not_there(
    client: TestClient, other: dict[str, str], registry: MemoryRegistry, method: str, path: str
) -> None:
    created = create(client)
    upload(created, b'{"text":"hello"}\n')
    theirs = client.request(method, path.format(job_id=created["job_id"]), headers=other)
    nobodys = client.request(method, path.format(job_id="batch_0000000000000000"), headers=other)
    assert error(theirs, 404, "NOT_FOUND")["details"] == error(nobodys, 404, "NOT_FOUND")["details"]
    assert registry.jobs[created["job_id"]].status == "pending"


def test_the_list_holds_the_20_newest_of_the_account_only(client: TestClient, other: dict[str, str]) -> None:
    ids = [create(client)["job_id"] for _ in range(22)]
    listed = client.get("/v1/batch").json()
    assert [job["job_id"] for job in listed] == ids[:1:-1]
    assert list(listed[0])[:4] == ["job_id", "status", "requests_total", "requests_completed"]
    assert listed[0]["created_at"].endswith("Z")
    assert client.get("/v1/batch", headers=other).json() == []


def test_starting_without_an_upload_or_with_no_ndjson_is_a_400_and_the_job_can_still_be_started(
    client: TestClient,
) -> None:
    created = create(client)
    path = f"/v1/batch/{created['job_id']}/start"
    error(client.post(path), 400, "INPUT_MISSING")
    upload(created, b"id,text\n1,hello\n")
    assert "CSV" in error(client.post(path), 400, "INVALID_INPUT")["message"]
    assert client.get(f"/v1/batch/{created['job_id']}").json()["status"] == "pending"
    upload(created, b'{"text":"hello"}\n')
    assert client.post(path).status_code == 202


def test_a_second_job_of_an_account_cannot_be_started_and_one_of_another_can(
    client: TestClient, other: dict[str, str]
) -> None:
    jobs = [create(client), create(client)]
    theirs = client.post("/v1/batch", json={"labels": ["a"]}, headers=other).json()
    for job in (*jobs, theirs):
        upload(job, b'{"text":"hello"}\n')
    assert client.post(f"/v1/batch/{jobs[0]['job_id']}/start").status_code == 202
    error(client.post(f"/v1/batch/{jobs[1]['job_id']}/start"), 409, "CONFLICT")
    assert client.post(f"/v1/batch/{theirs['job_id']}/start", headers=other).status_code == 202


def test_a_failed_job_says_why_and_can_be_started_again(client: TestClient, registry: MemoryRegistry) -> None:
    created = create(client)
    job_id = created["job_id"]
    upload(created, b'{"text":"hello"}\n')
    client.post(f"/v1/batch/{job_id}/start")
    registry.happen(job_id, DriverAssigned("driver-a"), Failed(datetime.now(UTC), "it broke", DAY, 1))
    status = client.get(f"/v1/batch/{job_id}").json()
    assert (status["status"], status["error"], status["phase"]) == ("failed", "it broke", None)
    error(client.get(f"/v1/batch/{job_id}/results"), 409, "CONFLICT")
    assert client.post(f"/v1/batch/{job_id}/start").status_code == 202
    again = client.get(f"/v1/batch/{job_id}").json()
    assert (again["status"], again["error"], again["attempt"]) == ("processing", None, 2)


def test_every_calls_log_line_names_its_job_and_the_attempt_that_the_call_knows(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(request_log, "logger", logging.getLogger("of_this_test"))
    with caplog.at_level(logging.INFO, "of_this_test"):
        created = create(client)
        job_id = created["job_id"]
        client.post(f"/v1/batch/{job_id}/start")
        upload(created, b'{"text":"hello"}\n')
        client.post(f"/v1/batch/{job_id}/start")
        client.get(f"/v1/batch/{job_id}")
        client.get(f"/v1/batch/{job_id}/results")
        client.post(f"/v1/batch/{job_id}/cancel")
        client.get("/v1/batch/batch_0000000000000000")
        client.get("/v1/batch")

    told = [(vars(line).get("job_id"), vars(line).get("attempt")) for line in caplog.records]
    known = [(job_id, attempt) for attempt in (0, 0, 1, 1, 1, 1)]
    assert told == [*known, ("batch_0000000000000000", None), (None, None)]


@pytest.mark.parametrize("job_id", ["x", "batch_", "batch_..", "%2e%2e", "batch_0000000000000000%0a", "é" * 500])
def test_a_job_id_that_is_none_is_a_404(client: TestClient, job_id: str) -> None:
    error(client.get(f"/v1/batch/{job_id}"), 404, "NOT_FOUND")
    error(client.delete(f"/v1/batch/{job_id}"), 404, "NOT_FOUND")


def test_a_registry_that_is_away_is_a_503_with_retry_after(client: TestClient, registry: MemoryRegistry) -> None:
    registry.down = True
    answer = client.post("/v1/batch", json={"labels": ["a"]})
    error(answer, 503, "UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0


def test_a_storage_that_is_away_is_a_503(gateway_server: S3Server, registry: MemoryRegistry) -> None:
    nowhere = gateway_server.settings(endpoint="http://127.0.0.1:9")
    app = build_app(nowhere.model_copy(update={"s3_api_retry_seconds": 0.1}))
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/v1/batch", headers={"Authorization": f"Bearer lw_{secrets.token_urlsafe(32)}"})
    assert "127.0.0.1" not in error(answer, 503, "UNAVAILABLE")["message"]
    assert answer.headers["retry-after"]


def test_health_needs_no_key(client: TestClient) -> None:
    del client.headers["Authorization"]
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"
    assert list(answer.json()) == ["status", "version"]


def test_the_documentation_names_every_call_with_its_errors(client: TestClient) -> None:
    del client.headers["Authorization"]
    assert client.get("/docs").status_code == 200
    described = client.get("/openapi.json").json()
    for method, path in CALLS:
        responses = described["paths"][path][method.lower()]["responses"]
        assert {"401", "413", "500", "503"} <= set(responses)
    assert "example" in json.dumps(described["components"]["schemas"]["CreateBatch"])


def test_no_error_is_described_in_another_shape_than_it_has(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert "HTTPValidationError" not in json.dumps(described["paths"])


def test_a_repeated_creation_with_its_key_gives_the_same_job(client: TestClient, other: dict[str, str]) -> None:
    def post(labels: list[str], key: str, **headers: str) -> httpx.Response:
        answer: httpx.Response = client.post(
            "/v1/batch", json={"labels": labels}, headers={"Idempotency-Key": key, **headers}
        )
        return answer

    first = post(["a", "b"], "k1").json()
    again = post(["a", "b"], "k1")
    assert (again.status_code, again.json()["job_id"]) == (201, first["job_id"])
    assert post(["a", "b"], "k2").json()["job_id"] != first["job_id"]
    assert post(["a", "b"], "k1", **other).json()["job_id"] != first["job_id"]
    error(post(["a", "c"], "k1"), 409, "IDEMPOTENCY_CONFLICT")


def test_a_key_sent_again_with_a_default_in_the_place_of_the_classifiers_own_is_a_409(
    client: TestClient, gateway_store: ObjectStore
) -> None:
    task = TaskConfig(labels=("a", "b"), mode="multi", threshold=0.7)
    ClassifierRepository(gateway_store).save("acme", "mine", task, datetime.now(UTC))
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    assert client.post("/v1/batch", json={"classifier": "mine"}, headers=headers).status_code == 201
    other = client.post("/v1/batch", json={"classifier": "mine", "mode": "single"}, headers=headers)
    error(other, 409, "IDEMPOTENCY_CONFLICT")


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_has_1_to_255_characters(client: TestClient, key: str) -> None:
    answer = client.post("/v1/batch", json={"labels": ["a"]}, headers={"Idempotency-Key": key})
    error(answer, 422, "VALIDATION_ERROR")


def test_a_repeated_start_with_its_key_is_a_202_and_with_another_a_409(client: TestClient) -> None:
    created = create(client)
    upload(created, b'{"text":"hello"}\n')
    path = f"/v1/batch/{created['job_id']}/start"
    for _ in range(2):
        assert client.post(path, headers={"Idempotency-Key": "k"}).status_code == 202
    error(client.post(path, headers={"Idempotency-Key": "other"}), 409, "CONFLICT")
    error(client.post(path), 409, "CONFLICT")
    assert client.get(f"/v1/batch/{created['job_id']}").json()["attempt"] == 1


@pytest.mark.parametrize("body", [None, {}, {"priority": "high", "cache": False}])
def test_a_start_takes_no_body_or_one_that_says_nothing(client: TestClient, body: Any) -> None:
    created = create(client)
    upload(created, b'{"text":"hello"}\n')
    assert client.post(f"/v1/batch/{created['job_id']}/start", json=body).status_code == 202


def test_an_unknown_field_of_a_start_is_a_422(client: TestClient) -> None:
    created = create(client)
    upload(created, b'{"text":"hello"}\n')
    refused = client.post(f"/v1/batch/{created['job_id']}/start", json={"modle": "static"})
    assert error(refused, 422, "VALIDATION_ERROR")["message"] == "Unknown field 'modle'"
    assert client.get(f"/v1/batch/{created['job_id']}").json()["status"] == "pending"


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/v1/batch/{job_id}/results?partail=true", "'partail'; this call takes partial"),
        ("GET", "/v1/batch/{job_id}?partial=true", "'partial'; this call takes none"),
        ("GET", "/v1/usage?form=2026-11-01", "'form'; this call takes from, to, account"),
        ("DELETE", "/v1/classifiers/mine?versoin=1", "'versoin'; this call takes version"),
        ("POST", "/v1/batch?labels=a", "'labels'; this call takes none"),
        ("GET", "/v1/batch?limit", "'limit'; this call takes none"),
    ],
)
def test_an_unknown_query_parameter_is_a_422_that_names_those_known(
    client: TestClient, method: str, path: str, message: str
) -> None:
    answer = client.request(method, path.format(job_id=create(client)["job_id"]))
    assert error(answer, 422, "VALIDATION_ERROR")["message"] == f"Unknown query parameter {message}"


def test_health_answers_however_a_load_balancer_asks(client: TestClient) -> None:
    assert client.get("/health?probe=1").status_code == 200
    assert client.head("/health").status_code == 200


def test_a_processing_job_alone_can_be_cancelled(client: TestClient) -> None:
    created = create(client)
    path = f"/v1/batch/{created['job_id']}"
    error(client.post(f"{path}/cancel"), 409, "CONFLICT")
    upload(created, b'{"text":"hello"}\n')
    client.post(f"{path}/start")
    cancelled = client.post(f"{path}/cancel")
    assert (cancelled.status_code, cancelled.json()) == (202, {"job_id": created["job_id"], "status": "failed"})
    assert client.get(path).json()["error"] == "cancelled"
    error(client.post(f"{path}/cancel"), 409, "CONFLICT")


def test_partial_results_are_the_finished_parts_in_order(
    client: TestClient, registry: MemoryRegistry, gateway_store: ObjectStore
) -> None:
    created = create(client)
    job_id = created["job_id"]
    path = f"/v1/batch/{job_id}/results?partial=true"
    error(client.get(path), 409, "CONFLICT")
    upload(created, b'{"text":"hello"}\n' * 5)
    client.post(f"/v1/batch/{job_id}/start")
    assert client.get(path).json() == {"job_id": job_id, "status": "processing", "parts": []}

    version = registry.jobs[job_id].input
    assert version
    paths = JobPaths("acme", job_id)
    ranges = tuple(
        PlannedRange(index=index, start=index, end=index + 1, first_item=first, items=items)
        for index, first, items in ((0, 0, 2), (1, 2, 1), (3, 3, 2))
    )
    plan = Plan(input=version, ranges=ranges, estimated_tokens=5, engine="one")
    gateway_store.put(paths.plan, plan.model_dump_json().encode())
    for index in (3, 0):
        write_shard(
            gateway_store, paths, b"%d\n" % index, ShardReceipt(index, 2, 0, 2, 2), ShardOrigin(version.etag, "one")
        )
    stale = ShardOrigin("of-another-input", "one")
    write_shard(gateway_store, paths, b"stale\n", ShardReceipt(1, 1, 0, 1, 6), stale)
    parts = client.get(path).json()["parts"]
    assert [(part["first_item"], part["items"]) for part in parts] == [(0, 2), (3, 2)]
    assert [httpx.get(part["download_url"]).content for part in parts] == [b"0\n", b"3\n"]
