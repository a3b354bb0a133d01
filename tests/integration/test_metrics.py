"""What Prometheus reads after a job has run."""

from __future__ import annotations

import re
import time

import httpx

from tests.integration.service import RunningStack, create_uploaded, has_ended, run_to_end, start, wait_for

LINES = b'{"text":"good"}\n{"text":"bad"}\nnot json\n{"text":""}\n'
_EXPORT_SECONDS = 40.0
_EVERY_SECONDS = 12.0
"""Each process hands its series over every ten seconds."""


def value(exported: str, name: str, **labels: str) -> float:
    """The sum over all processes of a series; 0 where there is none."""
    found = 0.0
    for line in exported.splitlines():
        series, _, number = line.rpartition(" ")
        if series.startswith(f"{name}{{") and all(f'{key}="{wanted}"' in series for key, wanted in labels.items()):
            found += float(number)
    return found


def exported_once(stack: RunningStack, name: str, least: float, **labels: str) -> str:
    """What the node exports, as soon as the series has come to ``least``."""
    deadline = time.monotonic() + _EXPORT_SECONDS
    while True:
        text = httpx.get(stack.metrics_url, timeout=20).text
        if value(text, name, **labels) >= least:
            return text
        assert time.monotonic() < deadline, [line for line in text.splitlines() if "labelworks" in line]
        time.sleep(1)


def settled(stack: RunningStack) -> str:
    """What the node exports once nothing of earlier jobs is still to come."""
    deadline = time.monotonic() + 3 * _EXPORT_SECONDS
    before, text = "", httpx.get(stack.metrics_url, timeout=20).text
    while _of_jobs(text) != _of_jobs(before):
        assert time.monotonic() < deadline, _of_jobs(text)
        time.sleep(_EVERY_SECONDS)
        before, text = text, httpx.get(stack.metrics_url, timeout=20).text
    return text


def _of_jobs(exported: str) -> list[str]:
    names = ("jobs_ended", "items", "item_errors", "tokens", "phase_seconds", "queue_wait")
    return [
        line for line in exported.splitlines() if line.startswith(tuple(f"ray_labelworks_{each}" for each in names))
    ]


def test_a_jobs_end_its_items_errors_and_calls_are_counted_without_naming_it(stack: RunningStack) -> None:
    before = settled(stack)
    account = "metrics-account"
    with stack.client(stack.new_key(account)) as client:
        state, _ = run_to_end(client, LINES)
    completed = value(before, "ray_labelworks_jobs_ended_total", result="completed")

    after = exported_once(stack, "ray_labelworks_jobs_ended_total", completed + 1, result="completed")

    def grown(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert grown("ray_labelworks_items_total", outcome="classified") == 2
    assert grown("ray_labelworks_items_total", outcome="error") == 2
    assert grown("ray_labelworks_item_errors_total", code="invalid_json") == 1
    assert grown("ray_labelworks_item_errors_total", code="empty_text") == 1
    assert grown("ray_labelworks_tokens_total") == state["actual_tokens"]
    assert grown("ray_labelworks_queue_wait_seconds_count") == 1
    assert all(grown("ray_labelworks_phase_seconds_count", phase=phase) == 1 for phase in ("scanning", "classifying"))
    assert grown("ray_labelworks_classifier_busy_seconds_total") > 0
    assert value(after, "ray_labelworks_s3_calls_total", operation="PutObject", outcome="ok") > 0
    assert value(after, "ray_labelworks_classifiers", kind="possible") >= 1
    ours = [line for line in after.splitlines() if "labelworks_" in line]
    assert not re.search(rf"{state['job_id']}|{account}|batch_", "\n".join(ours))


def test_a_job_that_fails_by_its_file_is_counted_apart_from_those_that_the_service_fails(stack: RunningStack) -> None:
    before = settled(stack)
    rejected, failed = (
        value(before, "ray_labelworks_jobs_ended_total", result=result) for result in ("rejected", "failed")
    )
    with stack.client(stack.new_key("metrics-of-files")) as client:
        job_id = create_uploaded(client, b"text,label\n" * 100_000)
        start(client, job_id)
        assert "CSV" in wait_for(client, job_id, has_ended)["error"]

    after = exported_once(stack, "ray_labelworks_jobs_ended_total", rejected + 1, result="rejected")
    assert value(after, "ray_labelworks_jobs_ended_total", result="failed") == failed
