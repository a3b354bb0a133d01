"""Every documented error, in its one shape, with a message that helps."""

from __future__ import annotations

import gzip
import json
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest

from tests.integration.service import RunningStack, create_job, create_uploaded, has_ended, ndjson, start, wait_for
from tests.integration.texts import varied_texts


def assert_error(answer: httpx.Response, status: int, code: str, *words: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert set(body) == {"error", "code", "message", "details", "detail"}
    assert body["error"] == code.lower().replace("_", "-")
    assert body["detail"] == body["message"]
    assert answer.headers["X-Request-ID"]
    for word in words:
        assert word in body["message"]
    return body


def test_health_needs_no_key(stack: RunningStack) -> None:
    answer = httpx.get(f"{stack.url}/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"
    assert answer.json()["version"]


@pytest.mark.parametrize("header", [None, "Bearer lw_unknown", "Basic abc", "lw_bare"])
def test_a_missing_or_unknown_key_is_a_401(stack: RunningStack, header: str | None) -> None:
    answer = httpx.get(f"{stack.url}/v1/batch", headers={"Authorization": header} if header else {})
    assert_error(answer, 401, "UNAUTHORIZED", "Bearer")


def test_a_clients_request_id_is_repeated(stack: RunningStack) -> None:
    answer = httpx.get(f"{stack.url}/health", headers={"X-Request-ID": "mine-1"})
    assert answer.headers.get_list("X-Request-ID") == ["mine-1"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Request-ID", b"Zo\xeb"),
        (b"X-Request-ID", b""),
        (b"X-Request-ID", b"x" * 10_000),
        (b"X-Session-ID", b"\xff"),
        (b"serve_multiplexed_model_id", b"\xff"),
        (b"X-Request-Disconnect-Disabled", b"\xff"),
        (b"X-Request-Timeout-Seconds", b"0.000001"),
    ],
)
def test_no_header_makes_the_proxy_answer_outside_the_contract(stack: RunningStack, name: bytes, value: bytes) -> None:
    headers = [(b"Authorization", f"Bearer {stack.api_key}".encode()), (name, value)]
    answer = httpx.get(f"{stack.url}/v1/batch", headers=headers)
    assert answer.status_code == 200, answer.text
    (given,) = answer.headers.get_list("X-Request-ID")
    assert 0 < len(given) <= 200


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "labels", ["required"]),
        ({"labels": []}, "labels", ["1"]),
        ({"labels": [f"l{i}" for i in range(201)]}, "labels", ["200", "201"]),
        ({"labels": ["a", " a "]}, "labels", ["Labels must be unique"]),
        ({"labels": ["a", "  "]}, "labels.1", []),
        ({"labels": ["a", "x" * 101]}, "labels.1", ["100", "101"]),
        ({"labels": ["a", 5]}, "labels.1", ["string"]),
        ({"labels": ["a"], "descriptions": {"b": "text"}}, "descriptions", ["'b'"]),
        ({"labels": ["a"], "examples": {"b": ["text"]}}, "examples", ["'b'"]),
        ({"labels": ["a"], "mode": "both"}, "mode", ["single", "multi"]),
        ({"labels": ["a"], "threshold": 1.5}, "threshold", ["1", "1.5"]),
        ({"labels": ["a"], "lables": ["b"]}, "lables", ["Unknown field"]),
        ({"labels": ["a"], "classifier": "mine"}, "classifier", ["either"]),
        ({"classifier": "mine"}, "classifier", ["There is no classifier mine"]),
    ],
)
def test_a_field_that_breaks_a_rule_is_a_422_that_names_it(
    stack: RunningStack, body: dict[str, Any], field: str, words: list[str]
) -> None:
    with stack.client() as client:
        error = assert_error(client.post("/v1/batch", json=body), 422, "VALIDATION_ERROR", *words)
    assert error["details"] == {"field": field}


def test_a_body_that_is_not_json_is_a_422(stack: RunningStack) -> None:
    with stack.client() as client:
        answer = client.post("/v1/batch", content=b"{", headers={"Content-Type": "application/json"})
    assert_error(answer, 422, "VALIDATION_ERROR", "JSON")


def test_priority_and_cache_are_accepted(stack: RunningStack) -> None:
    with stack.client() as client:
        create_job(client, priority="high", cache=False)


def test_a_body_over_1_mb_is_a_413(stack: RunningStack) -> None:
    with stack.client() as client:
        answer = client.post("/v1/batch", json={"labels": ["a"], "descriptions": {"a": "x" * 1_100_000}})
    assert_error(answer, 413, "BODY_TOO_LARGE", "1,048,576")


def test_a_body_that_does_not_arrive_is_a_408_and_its_connection_ends(stack: RunningStack) -> None:
    connection = HTTPConnection(httpx.URL(stack.url).netloc.decode(), timeout=60)
    connection.putrequest("POST", "/v1/batch")
    for name, value in {"Authorization": f"Bearer {stack.api_key}", "Content-Length": "1000"}.items():
        connection.putheader(name, value)
    connection.endheaders(b"{")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    assert (answer.status, body["code"], body["details"]) == (408, "REQUEST_TIMEOUT", {"limit_seconds": 5.0})
    assert answer.headers.get_all("Connection") == ["close"]
    assert connection.sock is None


def test_a_body_that_no_call_wants_is_not_waited_for(stack: RunningStack) -> None:
    connection = HTTPConnection(httpx.URL(stack.url).netloc.decode(), timeout=60)
    connection.putrequest("POST", "/docs")
    connection.putheader("Content-Length", "1")
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (405, "METHOD_NOT_ALLOWED")
    connection.close()


@pytest.mark.parametrize("job_id", ["batch_0000000000000000", "nonsense", "..%2f..%2faccounts", "batch_ABC"])
def test_an_unknown_job_is_a_404_for_every_call(stack: RunningStack, job_id: str) -> None:
    with stack.client() as client:
        for method, suffix in (("GET", ""), ("GET", "/results"), ("POST", "/start"), ("DELETE", "")):
            assert_error(client.request(method, f"/v1/batch/{job_id}{suffix}"), 404, "NOT_FOUND")


def test_an_unknown_path_is_a_404_and_a_wrong_method_a_405(stack: RunningStack) -> None:
    with stack.client() as client:
        assert_error(client.get("/v1/nothing"), 404, "NOT_FOUND")
        assert_error(client.put("/v1/batch"), 405, "METHOD_NOT_ALLOWED")


def test_starting_without_a_file_is_a_400_that_says_how_to_upload(stack: RunningStack) -> None:
    with stack.client() as client:
        job_id = create_job(client)["job_id"]
        assert_error(client.post(f"/v1/batch/{job_id}/start"), 400, "INPUT_MISSING", "upload_url")
        assert client.get(f"/v1/batch/{job_id}").json()["status"] == "pending"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\n \r\n\n", "blank"),
        (gzip.compress(ndjson(["a"])), "gzip"),
        (b'[{"text": "a"}]', "array"),
        (b'{\n"text": "a"\n}', "several lines"),
        (b"\x89PNG\r\n\x1a\n" + bytes(1000), "PNG"),
        ('{"text": "a"}\n'.encode("utf-16"), "UTF-16"),
    ],
)
def test_starting_with_a_file_that_is_not_ndjson_is_a_400_that_says_what_was_found(
    stack: RunningStack, data: bytes, word: str
) -> None:
    with stack.client() as client:
        job_id = create_uploaded(client, data)
        assert_error(client.post(f"/v1/batch/{job_id}/start"), 400, "INVALID_INPUT", word, "NDJSON")


def test_results_before_completion_and_a_second_start_and_deleting_a_running_job_are_409s(
    stack: RunningStack,
) -> None:
    with stack.client(stack.new_key("impatient")) as client:
        job_id = create_uploaded(client, ndjson(varied_texts(1500)))
        assert_error(client.get(f"/v1/batch/{job_id}/results"), 409, "CONFLICT", "pending")
        start(client, job_id)
        other = create_uploaded(client, ndjson(["a"]))
        assert_error(client.post(f"/v1/batch/{job_id}/start"), 409, "CONFLICT", "processing")
        assert_error(client.delete(f"/v1/batch/{job_id}"), 409, "CONFLICT", "processing")
        assert_error(client.get(f"/v1/batch/{job_id}/results"), 409, "CONFLICT", "processing")
        assert_error(client.post(f"/v1/batch/{other}/start"), 409, "CONFLICT", job_id)
        wait_for(client, job_id, has_ended)
        assert_error(client.post(f"/v1/batch/{job_id}/start"), 409, "CONFLICT", "completed")
        start(client, other)
        wait_for(client, other, has_ended)


def test_another_accounts_job_is_a_404_for_every_call(stack: RunningStack) -> None:
    with stack.client(stack.new_key("alice")) as alice, stack.client(stack.new_key("bob")) as bob:
        job_id = create_uploaded(alice, ndjson(["alice's text"]))
        for method, suffix in (("GET", ""), ("GET", "/results"), ("POST", "/start"), ("DELETE", "")):
            assert_error(bob.request(method, f"/v1/batch/{job_id}{suffix}"), 404, "NOT_FOUND")
        assert job_id not in [job["job_id"] for job in bob.get("/v1/batch").json()]
        assert alice.get(f"/v1/batch/{job_id}").json()["status"] == "pending"


def test_two_accounts_process_at_the_same_time(stack: RunningStack) -> None:
    with stack.client(stack.new_key("carol")) as carol, stack.client(stack.new_key("dave")) as dave:
        jobs = [(client, create_uploaded(client, ndjson(varied_texts(500)))) for client in (carol, dave)]
        for client, job_id in jobs:
            start(client, job_id)
        assert [wait_for(client, job_id, has_ended)["status"] for client, job_id in jobs] == ["completed"] * 2


def test_a_model_that_the_operator_does_not_allow_is_a_422_that_names_those_allowed(stack: RunningStack) -> None:
    with stack.client() as client:
        answer = client.post("/v1/batch", json={"labels": ["a"], "model": "gpt"})
        assert_error(answer, 422, "VALIDATION_ERROR", "minilm, static", "gpt")
