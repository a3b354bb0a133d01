"""Keys, usage and request limits as an account meets them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.integration.service import (
    RunningStack,
    create_job,
    create_uploaded,
    has_ended,
    ndjson,
    run_to_end,
    start,
    wait_for,
)
from tests.integration.texts import varied_texts


def test_a_key_that_the_operator_makes_on_the_command_line_works_at_once(stack: RunningStack) -> None:
    command = [sys.executable, "-m", "labelworks", "keys", "create", "commanded", "--data", str(stack.folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    with stack.client(made.stdout.strip()) as client:
        create_job(client)


def test_usage_holds_a_completed_job_once_also_after_its_deletion(stack: RunningStack) -> None:
    with stack.client(stack.new_key("counted")) as client:
        assert client.get("/v1/usage").json()["total"]["jobs"] == 0
        state, _ = run_to_end(client, ndjson(["I was charged twice", "Love it!"]) + b"oops\n")
        pending = create_uploaded(client, ndjson(["never started"]))
        for job_id in (None, pending, state["job_id"]):
            if job_id:
                assert client.delete(f"/v1/batch/{job_id}").status_code == 200
            report = client.get("/v1/usage").json()
            assert report["total"] == {
                "jobs": 1,
                "items": 3,
                "items_failed": 1,
                "calls": 0,
                "tokens": state["actual_tokens"],
                "cost_usd": state["cost_usd"],
            }
            (day,) = [day for day in report["days"] if day["jobs"]]
            assert day["date"] == state["completed_at"][:10]


def test_a_cancelled_job_does_not_count_until_it_is_resumed_and_completes(stack: RunningStack) -> None:
    with stack.client(stack.new_key("resumer")) as client:
        job_id = create_uploaded(client, ndjson(varied_texts(300)))
        start(client, job_id)
        assert client.post(f"/v1/batch/{job_id}/cancel").status_code == 202
        assert client.get("/v1/usage").json()["total"]["jobs"] == 0
        start(client, job_id)
        state = wait_for(client, job_id, has_ended)
        total = client.get("/v1/usage").json()["total"]
        assert (total["jobs"], total["items"], total["tokens"]) == (1, 300, state["actual_tokens"])


def test_preview_calls_are_counted_soon_after_they_were_answered(stack: RunningStack) -> None:
    with stack.client(stack.new_key("trying")) as client:
        labels = ["billing", "praise"]
        one = client.post("/v1/classify", json={"text": "I was charged twice", "labels": labels}).json()
        many = client.post("/v1/tag/batch", json={"texts": ["Love it!", "", "Refund me"], "labels": labels}).json()
        assert client.post("/v1/classify", json={"text": "", "labels": labels}).status_code == 422
        deadline = time.monotonic() + 30
        while (total := client.get("/v1/usage").json()["total"])["calls"] < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        tokens = one["tokens"] + many["total_tokens"]
        assert total == {
            "jobs": 0,
            "items": 4,
            "items_failed": 1,
            "calls": 2,
            "tokens": tokens,
            "cost_usd": round(tokens * 0.08 / 1_000_000, 6),
        }


def test_a_key_made_over_the_api_works_at_once_and_is_refused_soon_after_it_was_revoked(stack: RunningStack) -> None:
    with stack.client(stack.new_key("rotating")) as client:
        new = client.post("/v1/keys", json={"name": "next"}).json()
        with stack.client(new["key"]) as successor:
            assert successor.get("/v1/batch").json() == []
            assert client.delete(f"/v1/keys/{new['id']}").status_code == 200
            deadline = time.monotonic() + 30
            while successor.get("/v1/batch").status_code != 401:
                assert time.monotonic() < deadline
                time.sleep(0.2)


def test_of_two_keys_that_revoke_each_other_at_once_one_stays(stack: RunningStack) -> None:
    for attempt in range(5):
        account = f"rivals-{attempt}"
        secrets = [stack.new_key(account) for _ in range(2)]
        with stack.client(secrets[0]) as one, stack.client(secrets[1]) as other, ThreadPoolExecutor(2) as threads:
            ids = {key["prefix"]: key["id"] for key in one.get("/v1/keys").json()}
            paths = [f"/v1/keys/{ids[secret[:7]]}" for secret in reversed(secrets)]
            answers = threads.map(
                lambda call: call[0].delete(call[1]).status_code, zip((one, other), paths, strict=True)
            )
            assert sorted(answers) == [200, 409]


def test_many_keys_made_at_once_are_no_more_than_the_limit(stack: RunningStack) -> None:
    with stack.client(stack.new_key("collector")) as client, ThreadPoolExecutor(16) as threads:
        answers = Counter(threads.map(lambda _: client.post("/v1/keys", json={}).status_code, range(110)))
        assert answers == {201: 99, 409: 11}
        assert len(client.get("/v1/keys").json()) == 100


def test_what_is_left_of_the_limit_is_told_with_every_answer(stack: RunningStack) -> None:
    with stack.client(stack.new_key("counting")) as client:
        told = [client.get("/v1/batch").headers for _ in range(2)]
    assert [headers["X-RateLimit-Limit"] for headers in told] == ["3000", "3000"]
    assert [headers["X-RateLimit-Remaining"] for headers in told] == ["2999", "2998"]
    assert all(float(headers["X-RateLimit-Reset"]) >= 0 for headers in told)
    assert "X-RateLimit-Limit" not in httpx.get(f"{stack.url}/health").headers
