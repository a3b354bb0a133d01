"""What we add to the contract: cancelling, partial results, calls that may be repeated."""

from __future__ import annotations

import json

import httpx

from tests.integration.service import (
    RunningStack,
    create_job,
    create_uploaded,
    download,
    has_ended,
    ndjson,
    start,
    upload,
    wait_for,
)
from tests.integration.test_errors import assert_error
from tests.integration.texts import varied_texts


def test_a_cancelled_job_fails_at_once_keeps_its_shards_and_goes_on_when_started_again(stack: RunningStack) -> None:
    texts = varied_texts(3000, seed=3)
    with stack.client(stack.new_key("canceller")) as client:
        job_id = create_uploaded(client, ndjson(texts))
        assert_error(client.post(f"/v1/batch/{job_id}/cancel"), 409, "CONFLICT", "pending")
        assert_error(client.get(f"/v1/batch/{job_id}/results?partial=true"), 409, "CONFLICT", "pending")
        start(client, job_id)
        wait_for(client, job_id, lambda state: bool(parts(client, job_id)))
        assert client.post(f"/v1/batch/{job_id}/cancel").status_code == 202
        cancelled = client.get(f"/v1/batch/{job_id}").json()
        assert (cancelled["status"], cancelled["error"], cancelled["phase"]) == ("failed", "cancelled", None)
        assert_error(client.post(f"/v1/batch/{job_id}/cancel"), 409, "CONFLICT", "failed")

        kept = parts(client, job_id)
        assert kept
        start(client, job_id)
        final = wait_for(client, job_id, has_ended)
        assert (final["status"], final["requests_completed"], final["attempt"]) == ("completed", 3000, 2)
        lines = download(client, job_id).splitlines()
        for part in kept:
            shard = httpx.get(part["download_url"]).raise_for_status().content.splitlines()
            assert shard == lines[part["first_item"] : part["first_item"] + part["items"]]
        everything = parts(client, job_id)
        assert [part["first_item"] for part in everything] == sorted(part["first_item"] for part in everything)
        assert sum(part["items"] for part in everything) == 3000


def parts(client: httpx.Client, job_id: str) -> list[dict[str, object]]:
    answer = client.get(f"/v1/batch/{job_id}/results", params={"partial": "true"})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["parts"]
    return found


def test_a_repeated_create_with_the_same_key_gives_the_same_job(stack: RunningStack) -> None:
    headers = {"Idempotency-Key": "order-17"}
    with stack.client() as client, stack.client(stack.new_key("other")) as other:
        made = [client.post("/v1/batch", json={"labels": ["a"]}, headers=headers).json() for _ in range(2)]
        assert made[0]["job_id"] == made[1]["job_id"]
        assert upload(made[1], ndjson(["a"])).status_code == 204
        changed = client.post("/v1/batch", json={"labels": ["b"]}, headers=headers)
        assert_error(changed, 409, "IDEMPOTENCY_CONFLICT", "Idempotency-Key")
        elsewhere = other.post("/v1/batch", json={"labels": ["b"]}, headers=headers)
        assert elsewhere.status_code == 201
        assert elsewhere.json()["job_id"] != made[0]["job_id"]


def test_a_repeated_start_with_the_same_key_is_a_202_and_starts_nothing_twice(stack: RunningStack) -> None:
    with stack.client(stack.new_key("repeater")) as client:
        job = create_job(client)
        upload(job, ndjson(varied_texts(2000)))
        path = f"/v1/batch/{job['job_id']}/start"
        answers = [client.post(path, headers={"Idempotency-Key": "start-1"}).status_code for _ in range(3)]
        assert answers == [202] * 3
        assert client.post(path).status_code == 409
        assert client.post(path, headers={"Idempotency-Key": "start-2"}).status_code == 409
        assert client.post(f"/v1/batch/{job['job_id']}/cancel").status_code == 202
        # Whoever lost the answer asks again, and must not undo what was done since.
        assert client.post(path, headers={"Idempotency-Key": "start-1"}).status_code == 202
        cancelled = client.get(f"/v1/batch/{job['job_id']}").json()
        assert (cancelled["status"], cancelled["attempt"]) == ("failed", 1)

        assert client.post(path, headers={"Idempotency-Key": "start-2"}).status_code == 202
        assert wait_for(client, job["job_id"], has_ended)["status"] == "completed"
        for key in ("start-1", "start-2"):
            assert client.post(path, headers={"Idempotency-Key": key}).status_code == 202
        assert client.post(path, headers={"Idempotency-Key": "start-3"}).status_code == 409
        completed = client.get(f"/v1/batch/{job['job_id']}").json()
        assert (completed["status"], completed["attempt"]) == ("completed", 2)


def test_every_call_of_the_contract_is_in_the_openapi_document_with_its_errors(stack: RunningStack) -> None:
    document = httpx.get(f"{stack.url}/openapi.json").json()
    assert {(path, method) for path, methods in document["paths"].items() for method in methods} >= {
        ("/v1/batch", "post"),
        ("/v1/batch", "get"),
        ("/v1/batch/{job_id}", "get"),
        ("/v1/batch/{job_id}", "delete"),
        ("/v1/batch/{job_id}/start", "post"),
        ("/v1/batch/{job_id}/cancel", "post"),
        ("/v1/batch/{job_id}/results", "get"),
        ("/health", "get"),
    }
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if path.startswith("/v1"):
                assert {"401", "413", "500", "503"} <= set(operation["responses"])
                assert operation["security"]
    assert json.dumps(document["components"]["schemas"]["CreateBatch"]["examples"])
