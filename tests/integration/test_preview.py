"""The preview calls: the answers of a job, at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.integration.service import RunningStack, ndjson, run_to_end
from tests.integration.test_errors import assert_error
from tests.integration.texts import varied_texts

LABELS = ["billing", "bug", "praise"]
PATHS = ("/v1/classify", "/v1/tag", "/v1/classify/batch", "/v1/tag/batch")


@pytest.fixture(scope="module")
def client(stack: RunningStack) -> Iterator[httpx.Client]:
    with stack.client(stack.new_key("previewer")) as client:
        yield client


def post(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body if "classifier" in body else {"labels": LABELS, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/classify/batch", {}),
        (
            "/v1/tag/batch",
            {
                "mode": "multi",
                "threshold": 0.2,
                "descriptions": {"billing": "payments, invoices, refunds"},
                "examples": {"praise": ["Love it!", "Best app I have"], "bug": ["It crashes"]},
                "source_type": "app review",
            },
        ),
    ],
)
def test_a_preview_gives_the_answers_of_a_job(client: httpx.Client, path: str, fields: dict[str, Any]) -> None:
    texts = [*varied_texts(150, seed=11), "", "  ", "x" * 100_001, "word " * 2_000, "😀 \n"]
    state, lines = run_to_end(client, ndjson(texts), labels=LABELS, **fields)
    expected = [json.loads(line) for line in lines.splitlines()]
    found = post(client, path, texts=texts, **fields)
    assert len(found["results"]) == len(texts)
    for job, preview in zip(expected, found["results"], strict=True):
        if "error" in job:
            assert preview == job
            continue
        assert preview["tokens"] == job["tokens"]
        of_job, of_preview = (each.get("labels", [each]) for each in (job, preview))
        assert [each["label"] for each in of_preview] == [each["label"] for each in of_job]
        for one, other in zip(of_preview, of_job, strict=True):
            assert one["confidence"] == pytest.approx(other["confidence"], abs=0.001)
    assert found["total_tokens"] == state["actual_tokens"]


def test_one_text_is_answered_alone_as_among_others_and_the_second_time_from_memory(client: httpx.Client) -> None:
    text = "I was charged twice, please refund one of them"
    first = post(client, "/v1/classify", text=text, priority="high", text_type="ticket")
    assert set(first) == {"label", "confidence", "tokens", "latency_ms", "cached"}
    assert (first["label"], first["cached"]) == ("billing", False)
    again = post(client, "/v1/classify", text=text, source_type="ticket")
    assert again["cached"] is True
    anew = post(client, "/v1/classify", text=text, source_type="ticket", cache=False)
    among = post(client, "/v1/classify/batch", texts=["x", text, "y"], source_type="ticket", cache=False)["results"][1]
    for other in (again, anew, among):
        assert [other[name] for name in ("label", "confidence", "tokens")] == [
            first[name] for name in ("label", "confidence", "tokens")
        ]
    tagged = post(client, "/v1/tag", text=text, threshold=0)
    assert set(tagged) == {"labels", "tokens", "latency_ms", "cached"}
    assert {each["label"] for each in tagged["labels"]} == set(LABELS)
    confidences = [each["confidence"] for each in tagged["labels"]]
    assert confidences == sorted(confidences, reverse=True)
    over_half = [each for each in tagged["labels"] if each["confidence"] >= 0.5]
    assert post(client, "/v1/tag", text=text)["labels"] == over_half


def test_a_thousand_texts_are_answered_in_their_order(client: httpx.Client) -> None:
    texts = list(dict.fromkeys(f"{number}: {text}" for number, text in enumerate(varied_texts(1000, seed=5))))
    one = post(client, "/v1/classify/batch", texts=texts, model="static")["results"]
    other = post(client, "/v1/classify/batch", texts=texts[::-1], model="static", cache=False)["results"]
    assert len(one) == 1000
    assert one == other[::-1]
    assert len({each["confidence"] for each in one}) > 100


def test_calls_at_the_same_time_get_their_own_answers(client: httpx.Client) -> None:
    tasks = [["cats", "dogs"], ["bread", "cheese"]]

    def call(number: int) -> bool:
        labels = tasks[number % 2]
        text = f"{labels[number % 4 // 2]} number {number}"
        found = post(client, "/v1/classify", text=text, labels=labels)
        return bool(found["label"] == labels[number % 4 // 2])

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(call, range(48)))


def test_a_saved_classifier_can_be_tried(stack: RunningStack, client: httpx.Client) -> None:
    body = {"name": "tried", "labels": ["cats", "dogs"], "mode": "multi", "threshold": 0}
    assert client.post("/v1/classifiers", json=body).status_code == 201
    assert client.post("/v1/classifiers", json={**body, "labels": ["bread", "cheese"]}).status_code == 201
    assert post(client, "/v1/classify", text="a kitten purrs", classifier="tried@v1")["label"] == "cats"
    tagged = post(client, "/v1/tag", text="a loaf", classifier="tried")
    assert {each["label"] for each in tagged["labels"]} == {"bread", "cheese"}
    with stack.client(stack.new_key("previewer-2")) as other:
        for path in PATHS:
            texts = {"texts": ["x"]} if path.endswith("batch") else {"text": "x"}
            answer = other.post(path, json={"classifier": "tried", **texts})
            assert_error(answer, 422, "VALIDATION_ERROR", "There is no classifier tried")


@pytest.mark.parametrize("path", PATHS)
def test_what_is_wrong_with_a_call_is_said_as_it_is_of_a_job(
    stack: RunningStack, client: httpx.Client, path: str
) -> None:
    good: dict[str, Any] = {"labels": LABELS} | ({"texts": ["x"]} if path.endswith("batch") else {"text": "x"})
    for wrong, field in (
        ({"lables": 1}, "lables"),
        ({"labels": ["a", "a"]}, "labels"),
        ({"labels": None}, "labels"),
        ({"classifier": "mine"}, "classifier"),
        ({"model": "gpt"}, "model"),
        ({"mode": "multi" if "classify" in path else "single"}, "mode"),
        ({"threshold": 7}, "threshold"),
        ({"texts": ["x"] * 1001} if "texts" in good else {"text": " "}, "texts" if "texts" in good else "text"),
    ):
        error = assert_error(client.post(path, json={**good, **wrong}), 422, "VALIDATION_ERROR")
        assert error["details"]["field"] == field
    assert_error(httpx.post(f"{stack.url}{path}", json=good), 401, "UNAUTHORIZED")
    long = {"texts": ["x" * 99_000] * 11} if "texts" in good else {"text": "x" * 1_100_000}
    assert_error(client.post(path, json={**good, **long}), 413, "BODY_TOO_LARGE")


def test_too_much_at_once_is_a_503_that_says_when_to_come_again(client: httpx.Client) -> None:
    texts = ["word " * 19_000] * 10

    def call(number: int) -> httpx.Response:
        body = {"labels": LABELS, "texts": [f"{number} {text}" for text in texts], "model": "static"}
        return client.post("/v1/classify/batch", json=body)

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(call, range(12)))
    assert {answer.status_code for answer in answers} == {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert_error(answer, 503, "UNAVAILABLE", "preview calls")
            assert int(answer.headers["Retry-After"]) > 0


def test_the_preview_calls_are_documented(stack: RunningStack) -> None:
    document = httpx.get(f"{stack.url}/openapi.json").json()
    for path in PATHS:
        described = document["paths"][path]["post"]
        assert {"200", "401", "413", "422", "500", "503"} <= set(described["responses"])
        schema = described["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        assert document["components"]["schemas"][schema]["examples"]
