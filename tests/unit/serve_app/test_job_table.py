"""Which jobs the registry remembers, and whose they are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipelines.job import JobConfig, JobRecord, Status
from serve_app import job_table
from serve_app.exceptions import JobNotFound
from serve_app.job_table import JobTable


def record(job_id: str, status: Status = "pending", account: str = "acme") -> JobRecord:
    created = datetime(2026, 11, 24, tzinfo=UTC)
    config = JobConfig(labels=("a",), model="minilm")
    return JobRecord(job_id=job_id, account=account, config=config, created_at=created, status=status)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> JobTable:
    monkeypatch.setattr(job_table, "_CACHED_JOBS", 2)
    return JobTable()


def test_a_job_is_active_while_it_is_processing_and_known_throughout(table: JobTable) -> None:
    for status, active in (("pending", False), ("processing", True), ("failed", False), ("processing", True)):
        table.put(record("one", status))
        assert ("one" in table.active) == active
        assert "one" in table
        assert table.of_account("acme", "one").status == status


def test_of_jobs_that_are_not_processing_those_heard_of_or_asked_for_longest_ago_are_forgotten(
    table: JobTable,
) -> None:
    for job_id in ("one", "two", "one", "three"):
        table.put(record(job_id))
    assert [job_id in table for job_id in ("one", "two", "three")] == [True, False, True]
    assert table.find("one") is not None
    table.put(record("four"))
    assert [job_id in table for job_id in ("one", "three", "four")] == [True, False, True]


def test_a_processing_job_is_never_forgotten(table: JobTable) -> None:
    table.load([record("busy", "processing")])
    for number in range(5):
        table.put(record(f"job-{number}", "completed"))
    assert list(table.active) == ["busy"]


def test_of_a_job_that_is_not_processing_no_labels_and_examples_are_kept(table: JobTable) -> None:
    table.put(record("one", "processing"))
    assert table.active["one"].config.labels == ("a",)
    table.put(record("one", "failed"))
    assert [job.config.labels for _, job in table._others.items()] == [()]


def test_another_accounts_job_is_as_unknown_as_one_that_is_not_there(table: JobTable) -> None:
    table.put(record("theirs", account="other"))
    messages = []
    for job_id in ("theirs", "none"):
        with pytest.raises(JobNotFound) as error:
            table.of_account("acme", job_id)
        messages.append(str(error.value).replace(job_id, "ID"))
    assert messages[0] == messages[1]


def test_a_removed_job_is_not_known(table: JobTable) -> None:
    table.put(record("one"))
    table.remove("one")
    assert table.find("one") is None
