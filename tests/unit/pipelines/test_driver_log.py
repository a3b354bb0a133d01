"""What a driver logs of a job that failed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines import driver
from pipelines.driver import Assignment, JobDriver
from pipelines.exceptions import InputRejected, StorageUnavailable
from pipelines.job import InputVersion, JobConfig
from pipelines.job_input import JobInput
from pipelines.layout import JobPaths
from pipelines.settings import Settings

ASSIGNMENT = Assignment(
    JobInput(JobPaths("acme", "batch_0000000000000000"), InputVersion(etag="one", size=1)),
    JobConfig(labels=("a",)),
    run=1,
    classifiers=1,
    log_fields={},
)


class Registry:
    """Keeps what it is told of a job's end."""

    def __init__(self) -> None:
        self.told: list[str | None] = []
        self.driver_finished = SimpleNamespace(remote=lambda job_id, run, totals, error: self.told.append(error))


def error_told_after(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> str | None:
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


@pytest.mark.parametrize(
    ("failure", "named"),
    [
        (InputRejected("found what looks like CSV (first line: secret,words)"), "InputRejected (INVALID_INPUT)"),
        (raised(RuntimeError("by Ray"), StorageUnavailable("of secret words")), "StorageUnavailable (UNAVAILABLE)"),
    ],
)
def test_of_an_expected_failure_the_log_tells_the_kind_and_the_client_the_words(
    failure: Exception, named: str, monkeypatch: pytest.MonkeyPatch, written: Callable[[], str]
) -> None:
    told = error_told_after(failure, monkeypatch)
    log = written()
    assert told
    assert "secret" in told
    assert "secret" not in log
    assert f"the job failed: {named}" in log
    assert "Traceback" not in log


def test_of_an_unexpected_failure_the_log_has_the_traceback(
    monkeypatch: pytest.MonkeyPatch, written: Callable[[], str]
) -> None:
    told = error_told_after(ZeroDivisionError("by a bug"), monkeypatch)
    log = written()
    assert told == "The classification stopped on an internal error (ZeroDivisionError); start the job again."
    assert "Traceback" in log
    assert "ZeroDivisionError: by a bug" in log
    assert "run_job" in log
