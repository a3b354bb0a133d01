"""Waiting for a job, also while the service is away."""

from __future__ import annotations

import json
from typing import Any

import pytest

from labelworks import Labelworks
from labelworks.errors import (
    APIConnectionError,
    APITimeoutError,
    BatchNotStartedError,
    NotFoundError,
    RateLimitError,
    ServerError,
    WaitTimeoutError,
)
from labelworks.operations.batches import LONGEST_OUTAGE_SECONDS, BatchOperations
from labelworks.operations.effects import Answer, Call, Now, Request, Sleep, Steps
from labelworks.operations.retries import RetryPolicy
from labelworks.operations.service import Service
from tests.unit.labelworks.conftest import Command, Perform
from tests.unit.labelworks.fake_service import FakeService, Job

NOWHERE = "http://127.0.0.1:9"
FAULTS: list[dict[str, Any]] = [
    {"lose_answer": True},
    {"status": 500},
    {"status": 503},
    {"status": 520},
    {"status": 429},
    {"status": 404, "body": b"no route"},
]


@pytest.fixture
def job(service: FakeService) -> Job:
    """A job that goes on for ever."""
    service.end = "processing"
    job = service.add_completed(b"{}\n")
    job.status = "processing"
    return job


def test_waiting_ends_after_the_timeout(perform: Perform, job: Job, pauses: list[float]) -> None:
    with pytest.raises(WaitTimeoutError):
        perform("batches.wait")(job.job_id, timeout=20)
    assert sum(pauses) == pytest.approx(20)


def test_waiting_for_a_job_that_was_not_started_is_an_error(perform: Perform, job: Job) -> None:
    job.status = "pending"
    with pytest.raises(BatchNotStartedError, match=job.job_id):
        perform("batches.wait")(job.job_id)


@pytest.mark.parametrize("fault", FAULTS)
def test_waiting_outlasts_a_service_that_is_away_for_longer_than_calls_are_repeated(
    perform: Perform, service: FakeService, job: Job, fault: dict[str, Any]
) -> None:
    service.end = "completed"
    for _ in range(12):
        service.misbehave("GET /v1/batch/", **fault)
    assert perform("batches.wait")(job.job_id).status == "completed"


def test_waiting_gives_up_on_a_service_that_is_away_for_15_minutes(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with Labelworks(api_key="k", base_url=NOWHERE, max_retries=3) as client, pytest.raises(APIConnectionError):
        client.batches.wait("batch_1")
    assert LONGEST_OUTAGE_SECONDS - 30 <= sum(pauses) <= LONGEST_OUTAGE_SECONDS
    (told,) = caplog.messages
    assert f"{NOWHERE}/v1/batch/batch_1: " in told
    assert "asked again for up to 14 min" in told


def test_an_outage_within_the_timeout_ends_with_it(
    perform: Perform, service: FakeService, job: Job, pauses: list[float]
) -> None:
    def lost(_: object) -> None:
        for _ in range(100):
            service.misbehave("GET /v1/batch/", status=503)

    with pytest.raises(WaitTimeoutError) as raised:
        perform("batches.wait")(job.job_id, timeout=120, on_progress=lost)
    assert raised.value.batch.job_id == job.job_id
    assert isinstance(raised.value.__cause__, ServerError)
    assert sum(pauses) == pytest.approx(120)


def test_a_service_that_never_answered_within_the_timeout_is_told_as_such(pauses: list[float]) -> None:
    with Labelworks(api_key="k", base_url=NOWHERE) as client, pytest.raises(APIConnectionError):
        client.batches.wait("batch_1", timeout=60)
    assert 30 <= sum(pauses) <= 60


def test_a_service_that_wants_to_be_left_alone_for_long_is_not_asked_again(
    perform: Perform, service: FakeService, job: Job
) -> None:
    service.misbehave("GET /v1/batch/", status=429, headers={"Retry-After": "3600"})
    with pytest.raises(RateLimitError):
        perform("batches.wait")(job.job_id)
    assert len(service.seen) == 1


def test_a_service_that_wants_to_be_left_alone_is_asked_again_within_the_timeout(
    perform: Perform, service: FakeService, job: Job, pauses: list[float]
) -> None:
    service.end = "completed"
    service.misbehave("GET /v1/batch/", status=429, headers={"Retry-After": "3600"})
    assert perform("batches.wait")(job.job_id, timeout=7200).status == "completed"
    assert 3600 <= sum(pauses) < 3700


def test_an_unknown_job_is_not_waited_for(perform: Perform, service: FakeService) -> None:
    with pytest.raises(NotFoundError):
        perform("batches.wait")("batch_none")
    assert len(service.seen) == 1


def test_calls_that_hang_count_for_the_timeout_and_end_with_it() -> None:
    state = {"job_id": "batch_1", "status": "processing", "requests_total": 0, "requests_completed": 0}
    answers = [Answer(200, {}, json.dumps({**state, "created_at": "2026-11-23T20:57:29Z"}).encode())]
    steps = Steps(BatchOperations(Service("http://x", "k", 60.0, RetryPolicy(3))).wait("batch_1", timeout=100))
    clock: list[float] = []

    def hang() -> None:
        for effect in steps:
            match effect:
                case Now():
                    steps.outcome = sum(clock)
                case Sleep(seconds):
                    clock.append(seconds)
                case Call() if answers:
                    steps.outcome = answers.pop()
                case Call(Request(timeout=float(seconds))):
                    clock.append(seconds)
                    steps.failure = APITimeoutError("nothing came")

    with pytest.raises(WaitTimeoutError):
        hang()
    assert 100 <= sum(clock) <= 105


@pytest.mark.parametrize("fault", FAULTS)
def test_watch_outlasts_a_service_that_is_away(labelworks: Command, job: Job, fault: dict[str, Any]) -> None:
    labelworks.service.end = "completed"
    for _ in range(20):
        labelworks.service.misbehave("GET /v1/batch/", **fault)
    assert "asking again for up to 14 min" in labelworks("watch", job.job_id).stderr


def test_watch_gives_up_on_a_service_that_is_away_for_15_minutes(labelworks: Command, pauses: list[float]) -> None:
    said = labelworks("watch", "batch_1", "--base-url", NOWHERE, exit_code=1).stderr
    assert said.splitlines()[-1].startswith(f"labelworks: {NOWHERE}/v1/batch/batch_1: ")
    assert LONGEST_OUTAGE_SECONDS <= sum(pauses) <= LONGEST_OUTAGE_SECONDS + 30
