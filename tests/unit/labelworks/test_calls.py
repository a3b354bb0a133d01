"""Every call by both clients, over real sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from labelworks import AsyncLabelworks, Labelworks
from labelworks.errors import (
    APIConnectionError,
    AuthenticationError,
    BatchFailedError,
    ConfigurationError,
    ConflictError,
    InputError,
    NotFoundError,
    RateLimitError,
    ServerError,
    StorageError,
    UnsupportedError,
    ValidationError,
)
from labelworks.progress import Progress
from tests.unit.labelworks.conftest import Perform
from tests.unit.labelworks.fake_service import LOST, FakeService

TEXTS = b'{"text":"one two"}\n{"text":null}\n'


def uploaded(perform: Perform, tmp_path: Path) -> str:
    """The id of a job whose file is in place."""
    path = tmp_path / "in.ndjson"
    path.write_bytes(TEXTS)
    created = perform("batches.create")(labels=["a", "b"])
    perform("batches.upload")(created, path)
    job_id: str = created.job_id
    return job_id


def test_a_job_goes_from_creation_to_its_results(perform: Perform, service: FakeService, tmp_path: Path) -> None:
    job_id = uploaded(perform, tmp_path)
    perform("batches.start")(job_id)
    states: list[Progress] = []
    batch = perform("batches.wait")(job_id, on_progress=states.append)
    first, second = perform("batches.results")(job_id)
    assert service.jobs[job_id].upload == TEXTS
    assert (batch.status, batch.requests_completed, batch.requests_failed, batch.actual_tokens) == (
        "completed",
        1,
        1,
        7,
    )
    assert [state.stage for state in states] == ["queued", "completed"]
    assert (first.label, first.confidence, first.tokens, first.error) == ("a", 0.9, 2, None)
    assert (second.label, second.error.code) == (None, "invalid_text")


def test_create_sends_only_what_was_given(perform: Perform, service: FakeService) -> None:
    task = {"labels": ["a"], "descriptions": {"a": "first"}, "mode": "multi", "threshold": 0.5}
    created = perform("batches.create")(**task)
    assert service.jobs[created.job_id].task == task


def test_jobs_are_listed_newest_first(perform: Perform, service: FakeService) -> None:
    old, new = service.add_completed(b"{}\n"), service.add_completed(b"{}\n{}\n")
    assert [batch.job_id for batch in perform("batches.list")()] == [new.job_id, old.job_id]


def test_delete_removes_the_job(perform: Perform, service: FakeService) -> None:
    perform("batches.delete")(service.add_completed(b"{}\n").job_id)
    assert not service.jobs


def test_cancel_returns_the_job_as_it_is_then(perform: Perform, service: FakeService) -> None:
    job = service.add_completed(b"{}\n")
    job.status = "processing"
    assert perform("batches.cancel")(job.job_id).error == "cancelled"


@pytest.mark.parametrize("status", [404, 405])
def test_cancel_says_that_a_service_cannot_cancel(perform: Perform, service: FakeService, status: int) -> None:
    job = service.add_completed(b"{}\n")
    service.misbehave("/cancel", status=status)
    with pytest.raises(UnsupportedError, match="cannot cancel"):
        perform("batches.cancel")(job.job_id)


def test_cancel_of_an_unknown_job_is_not_found(perform: Perform) -> None:
    with pytest.raises(NotFoundError):
        perform("batches.cancel")("batch_none")


def test_errors_carry_code_message_details_and_request_id(perform: Perform) -> None:
    with pytest.raises(ValidationError, match="Labels must be unique") as raised:
        perform("batches.create")(labels=["a", "a"])
    error = raised.value
    assert (error.status, error.code, error.details) == (422, "VALIDATION_ERROR", {"field": "labels"})
    assert (error.message, error.request_id) == ("Labels must be unique", "req-1")


def test_an_unknown_key_is_an_authentication_error(service: FakeService) -> None:
    with Labelworks(api_key="other", base_url=service.url) as client, pytest.raises(AuthenticationError):
        client.batches.list()


def test_results_of_a_job_that_is_not_completed_are_a_conflict(perform: Perform) -> None:
    job_id = perform("batches.create")(labels=["a"]).job_id
    with pytest.raises(ConflictError):
        perform("batches.results")(job_id)


def test_a_failed_job_raises_with_its_reason(perform: Perform, service: FakeService, tmp_path: Path) -> None:
    service.end = "failed"
    job_id = uploaded(perform, tmp_path)
    perform("batches.start")(job_id)
    with pytest.raises(BatchFailedError, match="not NDJSON") as raised:
        perform("batches.wait")(job_id)
    assert raised.value.batch.job_id == job_id


@pytest.mark.parametrize("how", LOST)
def test_a_lost_answer_to_cancel_is_no_conflict(perform: Perform, service: FakeService, how: dict[str, Any]) -> None:
    job = service.add_completed(b"{}\n")
    with pytest.raises(ConflictError):
        perform("batches.cancel")(job.job_id)
    job.status = "processing"
    service.misbehave("/cancel", **how)
    assert perform("batches.cancel")(job.job_id).error == "cancelled"


def test_a_service_that_is_not_reached_is_asked_again_for_a_key(pauses: list[float]) -> None:
    with (
        Labelworks(api_key="k", base_url="http://127.0.0.1:9", max_retries=2) as client,
        pytest.raises(APIConnectionError),
    ):
        client.keys.create()
    assert len(pauses) == 2


def test_429_is_repeated_after_no_less_than_it_says(
    perform: Perform, service: FakeService, pauses: list[float]
) -> None:
    service.misbehave("GET /v1/batch", status=429, headers={"Retry-After": "17"})
    assert perform("batches.list")() == []
    assert pauses == [17.0]


def test_503_is_repeated_until_the_retries_are_used_up(
    perform: Perform, service: FakeService, pauses: list[float]
) -> None:
    for _ in range(4):
        service.misbehave("GET /v1/batch", status=503)
    with pytest.raises(ServerError):
        perform("batches.list")()
    assert len(pauses) == 3


def test_a_wait_of_more_than_five_minutes_is_left_to_the_caller(perform: Perform, service: FakeService) -> None:
    service.misbehave("GET /v1/batch", status=429, headers={"Retry-After": "3600"})
    with pytest.raises(RateLimitError):
        perform("batches.list")()


def test_an_error_of_the_service_is_repeated_where_that_does_no_more(
    perform: Perform, service: FakeService, pauses: list[float]
) -> None:
    service.misbehave("GET /v1/batch", status=500)
    assert perform("batches.list")() == []
    assert len(pauses) == 1


def test_a_service_that_is_not_there_is_a_connection_error_after_retries(pauses: list[float]) -> None:
    with (
        Labelworks(api_key="k", base_url="http://127.0.0.1:9", max_retries=2) as client,
        pytest.raises(APIConnectionError, match=r"http://127\.0\.0\.1:9/v1/batch"),
    ):
        client.batches.list()
    assert len(pauses) == 2


def test_a_lost_answer_to_create_makes_no_second_job(perform: Perform, service: FakeService) -> None:
    service.misbehave("POST /v1/batch", lose_answer=True)
    created = perform("batches.create")(labels=["a"])
    assert list(service.jobs) == [created.job_id]
    assert len(service.requests_to("POST /v1/batch")) == 2


def test_a_lost_answer_to_start_is_no_conflict(perform: Perform, service: FakeService, tmp_path: Path) -> None:
    job_id = uploaded(perform, tmp_path)
    service.misbehave("/start", lose_answer=True)
    perform("batches.start")(job_id)
    assert service.jobs[job_id].status == "processing"


def test_a_second_start_is_a_conflict(perform: Perform, tmp_path: Path) -> None:
    job_id = uploaded(perform, tmp_path)
    perform("batches.start")(job_id)
    with pytest.raises(ConflictError):
        perform("batches.start")(job_id)


@pytest.mark.parametrize("how", LOST)
def test_a_lost_answer_to_delete_is_no_error(perform: Perform, service: FakeService, how: dict[str, Any]) -> None:
    job = service.add_completed(b"{}\n")
    service.misbehave("DELETE", **how)
    perform("batches.delete")(job.job_id)
    assert not service.jobs


def test_deleting_an_unknown_job_is_not_found(perform: Perform) -> None:
    with pytest.raises(NotFoundError):
        perform("batches.delete")("batch_none")


PROXYS_404 = {"status": 404, "body": b"Path '/v1/batch' not found. Ping http://.../-/routes for available routes."}


def test_a_404_that_is_not_the_services_is_asked_again(perform: Perform, service: FakeService) -> None:
    job = service.add_completed(b"{}\n")
    service.misbehave("GET /v1/batch/", **PROXYS_404)
    assert perform("batches.retrieve")(job.job_id).status == "completed"
    assert len(service.requests_to("GET /v1/batch/")) == 2


def test_a_404_that_stays_a_proxys_is_no_unknown_job(service: FakeService) -> None:
    service.misbehave("DELETE /v1/batch/", **PROXYS_404)
    with (
        Labelworks(api_key="lw_test", base_url=service.url, max_retries=0) as client,
        pytest.raises(ServerError, match="no service at this address"),
    ):
        client.batches.delete("batch_none")


def test_a_call_that_is_carried_out_once_is_repeated_after_a_500_and_others_are_not(
    perform: Perform, service: FakeService
) -> None:
    service.misbehave("POST /v1/batch", status=500)
    job_id = perform("batches.create")(labels=["a"]).job_id
    service.misbehave("DELETE /v1/batch/", status=500)
    with pytest.raises(ServerError, match="As told"):
        perform("batches.delete")(job_id)


def test_an_upload_is_sent_whole_again_after_its_connection_broke(
    perform: Perform, service: FakeService, tmp_path: Path
) -> None:
    service.misbehave("POST /storage", lose_answer=True)
    service.misbehave("POST /storage", status=503)
    job_id = uploaded(perform, tmp_path)
    assert service.jobs[job_id].upload == TEXTS
    assert len(service.requests_to("POST /storage")) == 3


def test_an_upload_names_its_length_and_not_the_key(perform: Perform, service: FakeService, tmp_path: Path) -> None:
    uploaded(perform, tmp_path)
    (upload,) = service.requests_to("POST /storage")
    assert int(upload.headers["Content-Length"]) == len(upload.body)
    assert upload.headers["Transfer-Encoding"] is None
    assert upload.headers["Authorization"] is None


def test_a_refused_upload_carries_the_code_of_the_storage(
    perform: Perform, service: FakeService, tmp_path: Path
) -> None:
    path = tmp_path / "in.ndjson"
    path.write_bytes(TEXTS)
    created = perform("batches.create")(labels=["a"])
    created.upload_fields["policy"] = "another"
    with pytest.raises(StorageError, match="not the one") as raised:
        perform("batches.upload")(created, path)
    assert (raised.value.status, raised.value.code) == (403, "AccessDenied")


def test_an_empty_file_is_refused_before_it_is_sent(perform: Perform, service: FakeService, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    created = perform("batches.create")(labels=["a"])
    with pytest.raises(InputError, match="0 bytes"):
        perform("batches.upload")(created, path)
    assert not service.requests_to("/storage")


def test_an_upload_tells_its_progress_up_to_the_last_byte(perform: Perform, tmp_path: Path) -> None:
    path = tmp_path / "in.ndjson"
    path.write_bytes(TEXTS * 10_000)
    states: list[Progress] = []
    perform("batches.upload")(perform("batches.create")(labels=["a"]), path, on_progress=states.append)
    assert (states[-1].stage, states[-1].done, states[-1].fraction) == ("upload", len(TEXTS) * 10_000, 1.0)


def test_the_environment_gives_key_and_address(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELWORKS_API_KEY", "lw_test")
    monkeypatch.setenv("LABELWORKS_BASE_URL", f"{service.url}/")
    with Labelworks() as client:
        assert client.batches.list() == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"base_url": "http://x"}, "LABELWORKS_API_KEY"),
        ({"api_key": "k"}, "LABELWORKS_BASE_URL"),
        ({"api_key": "k", "base_url": "x:80"}, "http://"),
        ({"api_key": "k", "base_url": "http://x", "max_retries": -1}, "max_retries"),
    ],
)
def test_what_is_missing_is_said_at_once(
    options: dict[str, object], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LABELWORKS_API_KEY", raising=False)
    monkeypatch.delenv("LABELWORKS_BASE_URL", raising=False)
    for kind in (Labelworks, AsyncLabelworks):
        with pytest.raises(ConfigurationError, match=named):
            kind(**options)  # type: ignore[arg-type]


def test_a_client_of_ones_own_is_used_and_left_open(service: FakeService) -> None:
    with httpx.Client(headers={"X-Mine": "yes"}) as http:
        with Labelworks(api_key="lw_test", base_url=service.url, http_client=http) as client:
            client.batches.list()
        assert not http.is_closed
    assert service.seen[0].headers["X-Mine"] == "yes"
