"""A job over real HTTP, S3, Ray and the default model, from create to delete."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from models.registry import load_engine
from models.task import ClassificationTask
from tests.integration.service import (
    RunningStack,
    create_job,
    create_uploaded,
    download,
    has_ended,
    ndjson,
    run_to_end,
    start,
    upload,
    wait_for,
)
from tests.integration.texts import varied_texts

LABELS = ["billing", "bug report", "praise"]


def test_line_n_of_the_results_answers_item_n_as_the_model_alone_would(stack: RunningStack) -> None:
    texts = varied_texts(3000)
    with stack.client() as client:
        state, results = run_to_end(client, ndjson(texts), labels=LABELS, source_type="app review")
    lines = [json.loads(line) for line in results.splitlines()]
    classifier = load_engine("minilm").bind(ClassificationTask(labels=tuple(LABELS), source_type="app review"))
    expected = classifier.classify(texts[:300])

    assert (state["requests_total"], state["requests_completed"], state["requests_failed"]) == (3000, 3000, 0)
    assert state["actual_tokens"] == sum(line["tokens"] for line in lines)
    assert state["estimated_tokens"] == pytest.approx(state["actual_tokens"], rel=0.1)
    assert state["cost_usd"] == pytest.approx(state["actual_tokens"] * 0.08 / 1e6, abs=1e-6)
    assert len(lines) == 3000
    for line, prediction in zip(lines, expected, strict=False):
        assert list(line) == ["label", "confidence", "tokens"]
        assert line["label"] == prediction.labels[0].label
        assert line["confidence"] == pytest.approx(prediction.labels[0].confidence, abs=0.001)
        assert line["tokens"] == prediction.tokens


def test_multi_gives_every_label_over_the_threshold_best_first(stack: RunningStack) -> None:
    with stack.client() as client:
        _, results = run_to_end(client, ndjson(varied_texts(50)), labels=LABELS, mode="multi", threshold=0.4)
    lines = [json.loads(line) for line in results.splitlines()]
    assert len(lines) == 50
    for line in lines:
        confidences = [scored["confidence"] for scored in line["labels"]]
        assert list(line) == ["labels", "tokens"]
        assert confidences == sorted(confidences, reverse=True)
        assert all(confidence >= 0.4 for confidence in confidences)


def test_odd_lines_are_answered_in_place_and_never_fail_the_job(stack: RunningStack) -> None:
    long_line = b'{"text":"' + b"x" * (4 * 1024 * 1024) + b'"}'
    cases: list[tuple[bytes, str | None]] = [
        (b'{"text":"a fine text","id":"first"}\r', None),
        (b"not json", "invalid_json"),
        (b"[1,2]", "not_an_object"),
        (b'{"txt":"a"}', "missing_text"),
        (b'{"text":7,"custom_id":12}', "invalid_text"),
        (b'{"text":"  "}', "empty_text"),
        (b'{"text":"' + b"a " * 50_001 + b'"}', "text_too_long"),
        (b'{"text":"\xff"}', "invalid_encoding"),
        (long_line, "line_too_long"),
        ('{"text":"ça va 😀","custom_id":12345678901234567890}'.encode(), None),
        (b'{"text":"no newline at the end"}', None),
    ]
    data = b"\xef\xbb\xbf" + b"\n\n  \r\n".join(line for line, _ in cases)
    with stack.client() as client:
        state, results = run_to_end(client, data)
    lines = [json.loads(line) for line in results.splitlines()]
    assert [line.get("error", {}).get("code") for line in lines] == [code for _, code in cases]
    assert (state["status"], state["requests_completed"], state["requests_failed"]) == ("completed", 3, 8)
    assert next(iter(lines[0].items())) == ("id", "first")
    assert next(iter(lines[4].items())) == ("custom_id", 12)
    assert b'{"custom_id":12345678901234567890,"label":' in results


def test_progress_moves_while_the_job_runs_and_never_goes_back(stack: RunningStack) -> None:
    seen: list[dict[str, object]] = []
    with stack.client() as client:
        job_id = create_uploaded(client, ndjson(varied_texts(3000)))
        start(client, job_id)
        final = wait_for(client, job_id, has_ended, seen=seen)
    for name in ("requests_completed", "progress", "requests_total"):
        values = [state[name] for state in seen]
        assert values == sorted(values), name  # type: ignore[type-var]
    assert len({state["requests_completed"] for state in seen}) > 3
    assert {"queued", "scanning", "classifying"} & {state["phase"] for state in seen}
    assert any(state["rows_per_second"] and state["eta_seconds"] is not None for state in seen)
    assert all(state["estimated_tokens"] is not None for state in seen)
    assert (final["phase"], final["progress"], final["rows_per_second"]) == (None, 1.0, None)


def test_a_created_job_has_the_shape_of_the_contract(stack: RunningStack) -> None:
    with stack.client() as client:
        job = create_job(client)
        state = client.get(f"/v1/batch/{job['job_id']}").json()
    assert set(job) == {"job_id", "upload_url", "upload_fields", "input_key"}
    assert re.fullmatch(r"batch_[a-z0-9]{16}", job["job_id"])
    assert job["input_key"] == f"batch/default/{job['job_id']}/input.ndjson"
    assert state["status"] == "pending"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", state["created_at"])
    assert [state[name] for name in ("started_at", "completed_at", "error", "actual_tokens", "phase")] == [None] * 5


def test_the_list_is_a_bare_array_of_the_20_newest_jobs(stack: RunningStack) -> None:
    with stack.client(stack.new_key("lister")) as client:
        created = [create_job(client)["job_id"] for _ in range(22)]
        listed = client.get("/v1/batch").json()
    assert [job["job_id"] for job in listed] == created[::-1][:20]
    assert {"job_id", "status", "requests_total", "requests_completed", "created_at"} <= set(listed[0])


def test_a_deleted_job_is_gone_with_its_files(stack: RunningStack) -> None:
    with stack.client() as client:
        job_id = create_uploaded(client, ndjson(["one text"]))
        start(client, job_id)
        wait_for(client, job_id, has_ended)
        url = client.get(f"/v1/batch/{job_id}/results").json()["download_url"]
        deleted = client.delete(f"/v1/batch/{job_id}")
        assert (deleted.status_code, deleted.json()) == (200, {"job_id": job_id, "deleted": True})
        assert client.get(f"/v1/batch/{job_id}").status_code == 404
        assert job_id not in [job["job_id"] for job in client.get("/v1/batch").json()]
    assert httpx.get(url).status_code == 404


def test_the_upload_form_takes_only_its_own_key_and_no_empty_file(stack: RunningStack) -> None:
    with stack.client() as client:
        job = create_job(client)
    elsewhere = {**job, "upload_fields": {**job["upload_fields"], "key": "batch/default/elsewhere"}}
    assert upload(elsewhere, b"{}").status_code == 403
    assert upload(job, b"").status_code == 400


def test_a_file_without_objects_fails_with_what_was_found_and_expected(stack: RunningStack) -> None:
    csv = b"id,text\n" + b"1,hello\n" * 100_000
    with stack.client() as client:
        job_id = create_uploaded(client, csv)
        start(client, job_id)
        state = wait_for(client, job_id, has_ended)
        assert state["status"] == "failed"
        assert "CSV" in state["error"]
        assert '{"text":' in state["error"]


def test_a_failed_job_with_a_new_file_starts_afresh(stack: RunningStack) -> None:
    with stack.client() as client:
        job = create_job(client)
        upload(job, b"id,text\n" + b"1,hello\n" * 100_000)
        start(client, job["job_id"])
        assert wait_for(client, job["job_id"], has_ended)["status"] == "failed"
        upload(job, ndjson(["now it is right", "and so is this"]))
        start(client, job["job_id"])
        state = wait_for(client, job["job_id"], has_ended)
        assert (state["status"], state["requests_total"], state["error"]) == ("completed", 2, None)
        assert len(download(client, job["job_id"]).splitlines()) == 2


def test_a_job_runs_on_the_model_it_asks_for(stack: RunningStack) -> None:
    texts = varied_texts(20)
    with stack.client() as client:
        state, results = run_to_end(client, ndjson(texts), labels=LABELS, model="static")
    expected = load_engine("static").bind(ClassificationTask(labels=tuple(LABELS))).classify(texts)
    assert state["model"] == "static"
    assert [json.loads(line)["label"] for line in results.splitlines()] == [
        prediction.labels[0].label for prediction in expected
    ]
