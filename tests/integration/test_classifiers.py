"""Saved classifiers: versions, pinning, and jobs that keep what they were created with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.integration.service import (
    RunningStack,
    create_uploaded,
    download,
    has_ended,
    ndjson,
    start,
    wait_for,
)
from tests.integration.test_errors import assert_error

CLASSIFIERS = "/v1/classifiers"


@pytest.fixture(scope="module")
def client(stack: RunningStack) -> Iterator[httpx.Client]:
    with stack.client(stack.new_key("librarian")) as client:
        yield client


def save(client: httpx.Client, name: str, labels: list[str], **fields: Any) -> dict[str, Any]:
    answer = client.post(CLASSIFIERS, json={"name": name, "labels": labels, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def retrieve(client: httpx.Client, path: str) -> dict[str, Any]:
    answer = client.get(f"{CLASSIFIERS}/{path}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def listed(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in client.get(CLASSIFIERS).json()}


def test_the_same_name_again_is_the_next_version_and_every_version_can_be_read(client: httpx.Client) -> None:
    fields = {
        "descriptions": {"a": "first"},
        "examples": {"b": ["x", "y"]},
        "source_type": "review",
        "mode": "multi",
        "threshold": 0.6,
    }
    first = save(client, "versions", ["a", "b"], **fields)
    assert first.pop("created_at").endswith("Z")
    assert first == {
        "name": "versions",
        "version": 1,
        "classifier": "versions@v1",
        "labels": ["a", "b"],
        **fields,
    }
    second = save(client, "versions", ["c"], text_type="tweet")
    assert (second["version"], second["source_type"], second["mode"], second["threshold"]) == (
        2,
        "tweet",
        "single",
        0.3,
    )
    assert retrieve(client, "versions") == second
    assert retrieve(client, "versions?version=2") == retrieve(client, "versions@v2") == second
    for one in ("versions?version=1", "versions@v1", "versions@v1?version=1"):
        assert retrieve(client, one)["labels"] == ["a", "b"]
    entry = listed(client)["versions"]
    assert (entry["version"], entry["versions"], entry["mode"], entry["label_count"]) == (2, [1, 2], "single", 1)


def test_a_repeated_post_makes_no_second_version(client: httpx.Client) -> None:
    body = {"name": "repeated", "labels": ["a"]}
    first, again, other = (
        client.post(CLASSIFIERS, json=body, headers={"Idempotency-Key": key}) for key in ("one", "one", "two")
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert other.json()["version"] == 2
    changed = client.post(CLASSIFIERS, json={**body, "labels": ["b"]}, headers={"Idempotency-Key": "one"})
    assert_error(changed, 409, "IDEMPOTENCY_CONFLICT", "Idempotency-Key")


def test_a_repeated_create_gives_its_job_after_its_classifier_was_deleted(client: httpx.Client) -> None:
    save(client, "passing", ["a", "b"])
    order = {"json": {"classifier": "passing"}, "headers": {"Idempotency-Key": "passing-1"}}
    created = client.post("/v1/batch", **order).json()
    client.delete(f"{CLASSIFIERS}/passing")
    again = client.post("/v1/batch", **order)
    assert (again.status_code, again.json()["job_id"]) == (201, created["job_id"])
    assert_error(client.post("/v1/batch", json={"classifier": "passing"}), 422, "VALIDATION_ERROR", "passing")
    client.delete(f"/v1/batch/{created['job_id']}")
    assert_error(client.post("/v1/batch", **order), 422, "VALIDATION_ERROR", "passing")


def test_posts_at_the_same_time_neither_lose_a_version_nor_make_one_twice(client: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: save(client, "crowd", [f"label {number}"]), range(16)))
    assert sorted(each["version"] for each in made) == list(range(1, 17))
    for each in made:
        assert retrieve(client, each["classifier"]) == each
    assert listed(client)["crowd"]["versions"] == list(range(1, 17))


def test_a_deleted_classifier_is_gone_and_its_numbers_are_not_used_again(client: httpx.Client) -> None:
    save(client, "brief", ["a"])
    save(client, "brief", ["b"])
    answer = client.delete(f"{CLASSIFIERS}/brief@v2")
    assert (answer.status_code, answer.json()) == (200, {"name": "brief", "version": 2, "deleted": True})
    assert retrieve(client, "brief")["version"] == 1
    assert client.delete(f"{CLASSIFIERS}/brief").json() == {"name": "brief", "version": None, "deleted": True}
    for call in (client.get, client.delete):
        for path in ("brief", "brief@v1", "brief?version=2"):
            assert_error(call(f"{CLASSIFIERS}/{path}"), 404, "NOT_FOUND", "brief")
    assert "brief" not in listed(client)
    assert save(client, "brief", ["c"])["version"] == 3
    assert_error(client.get(f"{CLASSIFIERS}/brief@v1"), 404, "NOT_FOUND", "no version 1", "newest is 3")


def test_a_job_keeps_what_its_classifier_was_when_it_was_created(client: httpx.Client) -> None:
    texts = ["I was charged twice for one order", "The app crashes when I open it"]
    save(client, "frozen", ["billing", "bug"], source_type="app review")
    job_id = create_uploaded(client, ndjson(texts), labels=None, classifier="frozen")
    save(client, "frozen", ["cats", "dogs"])
    newest = create_uploaded(client, ndjson(texts), labels=None, classifier="frozen", mode="multi", threshold=0)
    pinned = create_uploaded(client, ndjson(texts), labels=None, classifier="frozen@v1")
    client.delete(f"{CLASSIFIERS}/frozen")

    answers = {}
    for job in (job_id, newest, pinned):
        start(client, job)
        state = wait_for(client, job, has_ended)
        answers[job] = (state["classifier"], [json.loads(line) for line in download(client, job).splitlines()])
    assert answers[job_id] == answers[pinned]
    assert answers[job_id][0] == "frozen@v1"
    assert [line["label"] for line in answers[job_id][1]] == ["billing", "bug"]
    assert answers[newest][0] == "frozen@v2"
    for line in answers[newest][1]:
        assert {scored["label"] for scored in line["labels"]} == {"cats", "dogs"}


def test_an_accounts_classifiers_are_its_own(stack: RunningStack, client: httpx.Client) -> None:
    save(client, "private", ["a"])
    with stack.client(stack.new_key("stranger")) as stranger:
        assert_error(stranger.get(f"{CLASSIFIERS}/private"), 404, "NOT_FOUND")
        assert_error(stranger.delete(f"{CLASSIFIERS}/private"), 404, "NOT_FOUND")
        assert_error(stranger.post("/v1/batch", json={"classifier": "private"}), 422, "VALIDATION_ERROR", "private")
        assert stranger.get(CLASSIFIERS).json() == []
        assert save(stranger, "private", ["b"])["version"] == 1
    assert retrieve(client, "private")["labels"] == ["a"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"classifier": "nobodys"}, "classifier"),
        ({"classifier": "../x"}, "classifier"),
        ({"classifier": "nobodys", "labels": ["a"]}, "classifier"),
        ({"classifier": "nobodys", "descriptions": {"a": "x"}}, "descriptions"),
        ({"classifier": 7}, "classifier"),
    ],
)
def test_a_classifier_that_cannot_be_used_is_a_422_that_names_the_field(
    client: httpx.Client, body: dict[str, Any], field: str
) -> None:
    error = assert_error(client.post("/v1/batch", json=body), 422, "VALIDATION_ERROR")
    assert error["details"] == {"field": field}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"labels": ["a"]}, "name"),
        ({"name": "../x", "labels": ["a"]}, "name"),
        ({"name": "x@v2", "labels": ["a"]}, "name"),
        ({"name": "x"}, "labels"),
        ({"name": "x", "labels": ["a"], "lables": 1}, "lables"),
    ],
)
def test_a_classifier_that_breaks_a_rule_is_a_422_that_names_the_field(
    client: httpx.Client, body: dict[str, Any], field: str
) -> None:
    error = assert_error(client.post(CLASSIFIERS, json=body), 422, "VALIDATION_ERROR")
    assert error["details"] == {"field": field}


@pytest.mark.parametrize("path", ["nobodys", "..%2findex", "a@v0", "%00", "é", "x" * 300, "nobodys@v1"])
def test_an_unknown_classifier_is_a_404(client: httpx.Client, path: str) -> None:
    assert_error(client.get(f"{CLASSIFIERS}/{path}"), 404, "NOT_FOUND")


@pytest.mark.parametrize("query", ["version=0", "version=x", "version=", "version=99999999999999999999"])
def test_a_version_that_is_none_is_a_422(client: httpx.Client, query: str) -> None:
    assert_error(client.get(f"{CLASSIFIERS}/any?{query}"), 422, "VALIDATION_ERROR", "version")
    assert_error(client.get(f"{CLASSIFIERS}/any@v1?version=2"), 422, "VALIDATION_ERROR", "names version 1 already")
