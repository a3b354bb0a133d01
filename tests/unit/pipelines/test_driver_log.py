"""What a driver logs of a job that failed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines import driver
from pipelines.driver import Assignment, JobDriver, JobFailure
from pipelines.exceptions import InputChanged, InputRejected, StorageUnavailable
from pipelines.job import InputVersion, JobConfig
from pipelines.job_input import JobInput
from pipelines.layout import JobPaths
from pipelines.settings import Settings

ASSIGNMENT = Assignment(
    JobInput(JobPaths("acme", "batch_0000000000000000"), InputVersion(etag="one", size=1)),
    JobConfig(labels=("a",), model="minilm"),
    run=1,
    classifiers=1,
    log_fields={},
)


class Registry:
    """Keeps what it is told of a job's end."""

    def __init__(self) -> None:
        self.told: list[JobFailure] = []
        self.driver_finished = SimpleNamespace(remote=lambda job_id, run, outcome: self.told.append(outcome))


def told_after(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> JobFailure:
    def run_job(*_: Any, **__: Any) -> None:
        raise failure

    context = SimpleNamespace(current_actor=None)
    without_ray = SimpleNamespace(get_runtime_context=lambda: context, get=lambda done, timeout: done)
    monkeypatch.setattr(driver, "ray", without_ray)
    monkeypatch.setattr(driver, "run_job", run_job)
    registry = Registry()
    JobDriver(Settings(), registry).run(ASSIGNMENT)
    (told,) = registry.told
    return told


def raised(failure: Exception, cause: Exception) -> Exception:
    failure.__cause__ = cause
    return failure


def test_of_a_file_that_was_rejected_the_log_tells_the_kind_and_the_client_the_words(
    monkeypatch: pytest.MonkeyPatch, written: Callable[[], str]
) -> None:
    told = told_after(InputRejected("found what looks like CSV (first line: secret,words)"), monkeypatch)
    log = written()
    assert told == JobFailure("found what looks like CSV (first line: secret,words)", by_input=True)
    assert "secret" not in log
    assert "the job failed: InputRejected (INVALID_INPUT)" in log
    assert "Traceback" not in log


def test_of_a_storage_that_failed_the_log_tells_the_reason_and_the_client_that_it_did(
    monkeypatch: pytest.MonkeyPatch, written: Callable[[], str]
) -> None:
    failed = StorageUnavailable("It does not answer.", reason="no route to storage.internal")
    told = told_after(raised(RuntimeError("by Ray"), failed), monkeypatch)
    log = written()
    assert told == JobFailure("It does not answer.", by_input=False)
    assert "the job failed: It does not answer. Reason: no route to storage.internal" in log
    assert "Traceback" not in log


def test_a_file_that_was_overwritten_meanwhile_is_the_clients_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_after(InputChanged(), monkeypatch).by_input


def test_of_an_unexpected_failure_the_log_has_the_traceback(
    monkeypatch: pytest.MonkeyPatch, written: Callable[[], str]
) -> None:
    told = told_after(ZeroDivisionError("by a bug"), monkeypatch)
    log = written()
    internal = "The classification stopped on an internal error (ZeroDivisionError); start the job again."
    assert told == JobFailure(internal, by_input=False)
    assert "Traceback" in log
    assert "ZeroDivisionError: by a bug" in log
    assert "run_job" in log
