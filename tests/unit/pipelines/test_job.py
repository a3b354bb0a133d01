from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.task import ClassificationTask
from pipelines.exceptions import Conflict, IllegalTransition
from pipelines.job import InputVersion, JobConfig, JobRecord, Status
from pipelines.job_transitions import (
    Advanced,
    Completed,
    DriverAssigned,
    Event,
    Failed,
    Started,
    is_same_start,
    require_deletable,
    require_startable,
    transition,
)

CREATED = datetime(2026, 11, 1, 12, tzinfo=UTC)
STARTED = CREATED + timedelta(minutes=1)
ENDED = CREATED + timedelta(minutes=9)
RETENTION = timedelta(days=30)
INPUT = InputVersion(etag="one", size=100)
OTHER_INPUT = InputVersion(etag="two", size=100)
STATUSES: tuple[Status, ...] = ("pending", "processing", "completed", "failed")

start = Started(STARTED, INPUT, 500)


def pending() -> JobRecord:
    return JobRecord(
        job_id="batch_0123456789abcdef",
        account="acme",
        config=JobConfig(labels=("a", "b"), model="minilm"),
        created_at=CREATED,
        expires_at=CREATED + timedelta(hours=24),
    )


def queued() -> JobRecord:
    return transition(pending(), start)


def processing() -> JobRecord:
    job = transition(queued(), DriverAssigned("driver-a"))
    return transition(
        job,
        Advanced(
            run=1,
            phase="classifying",
            requests_total=10,
            requests_completed=4,
            requests_failed=1,
            estimated_tokens=480,
            progress=0.5,
            rows_per_second=2.0,
            eta_seconds=2.5,
        ),
    )


def completed() -> JobRecord:
    return transition(processing(), Completed(ENDED, 1, 8, 2, 490, RETENTION))


def failed() -> JobRecord:
    return transition(processing(), Failed(ENDED, "it broke", RETENTION, run=1))


JOBS: dict[Status, Callable[[], JobRecord]] = {
    "pending": pending,
    "processing": processing,
    "completed": completed,
    "failed": failed,
}
EVENTS: dict[str, Event] = {
    "started": start,
    "driver assigned": DriverAssigned("driver-a"),
    "driver replaced": DriverAssigned("driver-b", replaces_dead=True),
    "advanced": Advanced(run=1, phase="writing"),
    "completed": Completed(ENDED, 1, 8, 2, 490, RETENTION),
    "failed by its driver": Failed(ENDED, "it broke", RETENTION, run=1),
    "failed by the registry": Failed(ENDED, "it broke", RETENTION),
}
LEGAL: dict[tuple[Status, str], Status] = {
    ("pending", "started"): "processing",
    ("failed", "started"): "processing",
    ("processing", "driver assigned"): "processing",
    ("processing", "driver replaced"): "processing",
    ("processing", "advanced"): "processing",
    ("processing", "completed"): "completed",
    ("processing", "failed by its driver"): "failed",
    ("processing", "failed by the registry"): "failed",
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", EVENTS)
def test_each_event_is_legal_in_its_states_only_and_changes_nothing_elsewhere(status: Status, name: str) -> None:
    job = JOBS[status]()
    before = job.model_dump()
    assert job.status == status
    target = LEGAL.get((status, name))
    if target:
        assert transition(job, EVENTS[name]).status == target
    else:
        with pytest.raises(IllegalTransition) as refused:
            transition(job, EVENTS[name])
        assert isinstance(refused.value, Conflict)
        assert job.job_id in refused.value.message
        assert status in refused.value.message
        assert refused.value.details == {"status": status}
    assert job.model_dump() == before


@pytest.mark.parametrize(
    "event",
    [
        Advanced(run=1, phase="writing"),
        Completed(ENDED, 1, 8, 2, 490, RETENTION),
        Failed(ENDED, "it broke", RETENTION, run=1),
        Advanced(run=3, phase="writing"),
        Completed(ENDED, 0, 8, 2, 490, RETENTION),
    ],
)
def test_a_driver_whose_run_is_not_the_jobs_changes_nothing(event: Event) -> None:
    job = transition(processing(), DriverAssigned("driver-b", replaces_dead=True))
    assert job.run == 2
    with pytest.raises(IllegalTransition, match=r"superseded by run 2"):
        transition(job, event)


def test_the_registry_may_fail_a_job_whatever_its_run() -> None:
    job = transition(processing(), DriverAssigned("driver-b", replaces_dead=True))
    assert transition(job, Failed(ENDED, "no driver lives", RETENTION)).error == "no driver lives"


def test_starting_pins_the_input_and_clears_the_expiry() -> None:
    job = queued()
    assert (job.status, job.phase, job.input, job.estimated_tokens) == ("processing", "queued", INPUT, 500)
    assert (job.started_at, job.completed_at, job.expires_at) == (STARTED, None, None)
    assert (job.attempt, job.run, job.progress) == (1, 0, 0.0)


def test_log_lines_carry_the_id_of_the_request_that_began_the_attempt_whatever_has_happened_to_it_since() -> None:
    first = transition(pending(), Started(STARTED, INPUT, 500, request_id="r-1"))
    stored = transition(first, DriverAssigned("driver-a")).model_dump_json()
    job = JobRecord.model_validate_json(stored)
    assert job.log_fields == {"job_id": job.job_id, "attempt": 1, "run": 1, "request_id": "r-1"}
    again = transition(transition(job, Failed(ENDED, "it broke", RETENTION)), Started(ENDED, INPUT, 500))
    assert again.log_fields == {"job_id": job.job_id, "attempt": 2, "run": 2}


def test_assigning_a_driver_begins_a_new_run_and_counts_deaths() -> None:
    job = queued()
    for deaths, event in enumerate(
        [DriverAssigned("driver-a"), DriverAssigned("driver-b", True), DriverAssigned("driver-b", True)]
    ):
        job = transition(job, event)
        assert (job.run, job.driver_deaths, job.phase) == (deaths + 1, deaths, "scanning")
    assert job.attempt == 1


def test_deaths_of_drivers_that_finished_a_further_range_are_not_fruitless() -> None:
    job = transition(queued(), DriverAssigned("driver-0"))
    fruitless = []
    for finished in (None, None, 3, 3, 3, 4, None, 5, 5):
        job = transition(job, Advanced(run=job.run, phase="classifying", finished_ranges=finished))
        job = transition(job, DriverAssigned("driver-a", replaces_dead=True))
        fruitless.append(job.fruitless_deaths)
    assert fruitless == [1, 2, 0, 1, 2, 0, 1, 0, 1]
    assert job.driver_deaths == 9


def test_what_an_earlier_attempt_finished_is_no_further_range_of_the_next_one() -> None:
    job = transition(processing(), Advanced(run=1, phase="classifying", finished_ranges=7))
    ended = transition(job, Failed(ENDED, "it broke", RETENTION))
    for version, finished in ((INPUT, 7), (OTHER_INPUT, 0)):
        again = transition(transition(ended, Started(ENDED, version, 1)), DriverAssigned("driver-a"))
        assert again.finished_ranges == finished
        again = transition(again, Advanced(run=again.run, phase="classifying", finished_ranges=finished))
        again = transition(again, DriverAssigned("driver-b", replaces_dead=True))
        assert again.fruitless_deaths == 1


def test_completing_makes_the_counters_exact_and_add_up() -> None:
    job = completed()
    assert (job.requests_completed, job.requests_failed, job.requests_total) == (8, 2, 10)
    assert (job.actual_tokens, job.progress, job.phase, job.error) == (490, 1.0, None, None)
    assert (job.rows_per_second, job.eta_seconds) == (None, None)
    assert (job.completed_at, job.expires_at) == (ENDED, ENDED + RETENTION)


def test_completing_corrects_counters_that_were_shown_too_high() -> None:
    job = transition(processing(), Completed(ENDED, 1, 0, 10, 0, RETENTION))
    assert (job.requests_completed, job.requests_failed, job.requests_total) == (0, 10, 10)


def test_failing_keeps_what_was_done_and_says_why() -> None:
    job = failed()
    assert (job.error, job.phase, job.completed_at) == ("it broke", None, ENDED)
    assert (job.requests_completed, job.requests_failed, job.requests_total) == (4, 1, 10)
    assert (job.actual_tokens, job.rows_per_second, job.eta_seconds) == (None, None, None)
    assert job.expires_at == ENDED + RETENTION


def test_a_failed_job_started_again_with_the_same_file_goes_on_where_it_was() -> None:
    again = transition(failed(), Started(ENDED, INPUT, 777))
    assert (again.status, again.phase, again.attempt, again.error) == ("processing", "queued", 2, None)
    assert (again.requests_completed, again.requests_failed, again.requests_total) == (4, 1, 10)
    assert (again.progress, again.estimated_tokens) == (0.5, 480)
    assert (again.started_at, again.completed_at, again.expires_at) == (ENDED, None, None)


def test_a_failed_job_started_again_with_another_file_begins_anew() -> None:
    again = transition(failed(), Started(ENDED, OTHER_INPUT, 777))
    assert (again.requests_completed, again.requests_failed, again.requests_total) == (0, 0, 0)
    assert (again.progress, again.estimated_tokens, again.input, again.attempt) == (0.0, 777, OTHER_INPUT, 2)


def test_a_job_started_again_has_all_its_driver_restarts_again_but_never_an_old_run() -> None:
    job = transition(processing(), DriverAssigned("driver-b", replaces_dead=True, slots=3, in_kept_slots=True))
    job = transition(job, Failed(ENDED, "it broke", RETENTION))
    again = transition(job, start)
    assert (again.driver_deaths, again.driver, again.slots, again.in_kept_slots) == (0, None, 0, False)
    # Neither before nor after it has a driver again may the old one speak for it.
    for waiting_or_driven in (again, transition(again, DriverAssigned("driver-a"))):
        assert waiting_or_driven.run > job.run
        with pytest.raises(IllegalTransition):
            transition(waiting_or_driven, Completed(ENDED, job.run, 1, 1, 1, RETENTION))


def test_a_repeated_start_is_the_same_start_whatever_has_become_of_the_job() -> None:
    job = transition(pending(), Started(STARTED, INPUT, 500, "first"))
    ended = transition(job, Failed(ENDED, "cancelled", RETENTION))
    again = transition(ended, Started(ENDED, INPUT, 500, "second"))
    done = transition(
        transition(again, DriverAssigned("driver-a")), Completed(ENDED, again.run + 1, 1, 0, 1, RETENTION)
    )
    assert [is_same_start(each, "first") for each in (pending(), job, ended, again, done)] == [False] + [True] * 4
    assert [is_same_start(each, "second") for each in (job, ended, again, done)] == [False, False, True, True]
    assert not any(is_same_start(each, key) for each in (job, ended, again, done) for key in (None, "third"))


def test_a_start_without_a_key_is_never_the_same_start() -> None:
    assert not is_same_start(queued(), None)
    assert queued().start_keys == ()


reports = st.lists(
    st.builds(
        Advanced,
        run=st.just(1),
        phase=st.sampled_from(["scanning", "classifying", "writing"]),
        requests_total=st.sampled_from([0, 100]),
        requests_completed=st.integers(0, 60),
        requests_failed=st.integers(0, 40),
        estimated_tokens=st.none() | st.integers(0, 1000),
        progress=st.floats(0, 1),
    ),
    max_size=10,
)


@given(found=reports)
def test_reports_never_take_a_jobs_counters_back(found: list[Advanced]) -> None:
    job = transition(queued(), DriverAssigned("driver-a"))
    for report in found:
        after = transition(job, report)
        assert after.requests_completed >= job.requests_completed
        assert after.requests_failed >= job.requests_failed
        assert after.requests_completed + after.requests_failed <= 100
        assert after.requests_total >= job.requests_total
        assert after.progress >= job.progress
        assert after.phase == report.phase
        job = after


def test_a_report_without_numbers_keeps_those_that_are_known() -> None:
    job = transition(processing(), Advanced(run=1, phase="scanning"))
    assert (job.requests_total, job.requests_completed, job.estimated_tokens, job.progress) == (10, 4, 480, 0.5)


@pytest.mark.parametrize("make", [pending, queued, processing, completed, failed])
def test_a_record_survives_being_stored(make: Callable[[], JobRecord]) -> None:
    job = make()
    assert JobRecord.model_validate_json(job.model_dump_json()) == job


@given(
    label=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    threshold=st.floats(0, 1),
    at=st.datetimes(timezones=st.just(UTC)),
    source=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
)
def test_any_config_survives_being_stored(label: str, threshold: float, at: datetime, source: str | None) -> None:
    config = JobConfig(
        labels=(label, label + "2"),
        descriptions={label: label},
        examples={label: (label, "b")},
        source_type=source,
        mode="multi",
        threshold=threshold,
        model="minilm",
    )
    job = pending().model_copy(update={"config": config, "created_at": at})
    stored = JobRecord.model_validate_json(job.model_dump_json())
    assert stored == job
    assert stored.config.task() == ClassificationTask(
        labels=(label, label + "2"),
        descriptions={label: label},
        examples={label: (label, "b")},
        source_type=source,
        mode="multi",
        threshold=threshold,
    )


@pytest.mark.parametrize("status", STATUSES)
def test_only_pending_and_failed_jobs_can_be_started(status: Status) -> None:
    if status in ("pending", "failed"):
        require_startable(JOBS[status]())
    else:
        with pytest.raises(IllegalTransition, match=f"is {status}; only a pending or failed job can be started"):
            require_startable(JOBS[status]())


@pytest.mark.parametrize("status", STATUSES)
def test_a_processing_job_alone_cannot_be_deleted(status: Status) -> None:
    if status == "processing":
        with pytest.raises(IllegalTransition, match="is processing and cannot be deleted"):
            require_deletable(processing())
    else:
        require_deletable(JOBS[status]())
