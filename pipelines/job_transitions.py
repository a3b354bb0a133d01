"""What happens to a job, and the one function that changes it. Pure: knows neither Ray nor S3 nor HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipelines.counters import Counters, advance
from pipelines.exceptions import IllegalTransition
from pipelines.job import InputVersion, JobRecord, Phase
from pipelines.work import Work

# Clients repeat their latest calls, and a record must not grow for ever.
_START_KEYS = 100


@dataclass(frozen=True, slots=True)
class Started:
    """The client started the job; its input is pinned."""

    at: datetime
    input: InputVersion
    estimated_tokens: int
    start_key: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class DriverAssigned:
    """The named driver takes the job on, with a pool of ``slots`` classifiers. ``replaces_dead``: another one died."""

    driver: str
    replaces_dead: bool = False
    slots: int = 1
    in_kept_slots: bool = False


@dataclass(frozen=True, slots=True)
class Advanced:
    """A driver's report of how far it is. Counters never go back within an attempt."""

    run: int
    phase: Phase
    requests_total: int = 0
    requests_completed: int = 0
    requests_failed: int = 0
    estimated_tokens: int | None = None
    finished_ranges: int | None = None
    progress: float = 0.0
    rows_per_second: float | None = None
    eta_seconds: float | None = None
    work: Work = field(default_factory=Work)


@dataclass(frozen=True, slots=True)
class Completed:
    """All result lines are in ``results.ndjson``."""

    at: datetime
    run: int
    requests_completed: int
    requests_failed: int
    actual_tokens: int
    retention: timedelta


@dataclass(frozen=True, slots=True)
class Failed:
    """The job ended without a result file. ``run`` is None unless a driver says so; ``by_input``: the reason is what
    the client sent.
    """

    at: datetime
    error: str
    retention: timedelta
    run: int | None = None
    by_input: bool = False


Event = Started | DriverAssigned | Advanced | Completed | Failed


def transition(job: JobRecord, event: Event) -> JobRecord:
    """The job after ``event``. Raises IllegalTransition where the job's state does not allow it."""
    match event:
        case Started():
            return _started(job, event)
        case DriverAssigned():
            _require_processing(job, "be assigned a driver")
            died = _died(job) if event.replaces_dead else {}
            return job.model_copy(
                update={
                    **died,
                    "run": job.run + 1,
                    "driver": event.driver,
                    "phase": "scanning",
                    "slots": event.slots,
                    "in_kept_slots": event.in_kept_slots,
                }
            )
        case Advanced():
            _require_run(job, event.run)
            return _advanced(job, event)
        case Completed():
            _require_run(job, event.run)
            return job.model_copy(
                update={
                    **_ended(event.at, event.retention),
                    "status": "completed",
                    "requests_total": event.requests_completed + event.requests_failed,
                    "requests_completed": event.requests_completed,
                    "requests_failed": event.requests_failed,
                    "actual_tokens": event.actual_tokens,
                    "progress": 1.0,
                }
            )
        case Failed():
            if event.run is None:
                _require_processing(job, "fail")
            else:
                _require_run(job, event.run)
            return job.model_copy(
                update={
                    **_ended(event.at, event.retention),
                    "status": "failed",
                    "error": event.error,
                    "failed_by_input": event.by_input,
                }
            )


def require_cancellable(job: JobRecord) -> None:
    """Raises IllegalTransition unless the job is processing."""
    if job.status != "processing":
        raise IllegalTransition(
            f"Job {job.job_id} is {job.status}; only a processing job can be cancelled.", status=job.status
        )


def require_deletable(job: JobRecord) -> None:
    """Raises IllegalTransition while the job is processing."""
    if job.status == "processing":
        raise IllegalTransition(
            f"Job {job.job_id} is processing and cannot be deleted. Wait until it has ended.",
            status=job.status,
        )


def is_same_start(job: JobRecord, start_key: str | None) -> bool:
    """Whether a start with this key has already begun an attempt, even one that has ended."""
    return start_key is not None and start_key in job.start_keys


def require_startable(job: JobRecord) -> None:
    """Raises IllegalTransition unless the job is pending or failed."""
    if job.status not in ("pending", "failed"):
        raise IllegalTransition(
            f"Job {job.job_id} is {job.status}; only a pending or failed job can be started.", status=job.status
        )


def _started(job: JobRecord, event: Started) -> JobRecord:
    require_startable(job)
    resumes = job.input == event.input
    anew = {"requests_total": 0, "requests_completed": 0, "requests_failed": 0, "progress": 0.0, "finished_ranges": 0}
    kept = {} if resumes else anew
    return job.model_copy(
        update={
            **kept,
            "status": "processing",
            "phase": "queued",
            "started_at": event.at,
            "completed_at": None,
            "expires_at": None,
            "error": None,
            "failed_by_input": False,
            "input": event.input,
            "estimated_tokens": job.estimated_tokens if resumes and job.estimated_tokens else event.estimated_tokens,
            "attempt": job.attempt + 1,
            # A driver of an earlier attempt may still live; from now on it speaks for no run.
            "run": job.run + bool(job.attempt),
            "driver": None,
            "driver_deaths": 0,
            "fruitless_deaths": 0,
            "finished_at_death": job.finished_ranges if resumes else 0,
            "slots": 0,
            "in_kept_slots": False,
            "start_keys": (*job.start_keys, *([event.start_key] if event.start_key else []))[-_START_KEYS:],
            "request_id": event.request_id,
        }
    )


def _died(job: JobRecord) -> dict[str, int]:
    went_on = job.finished_ranges > job.finished_at_death
    return {
        "driver_deaths": job.driver_deaths + 1,
        "fruitless_deaths": 0 if went_on else job.fruitless_deaths + 1,
        "finished_at_death": job.finished_ranges,
    }


def _advanced(job: JobRecord, event: Advanced) -> JobRecord:
    shown = advance(
        Counters(job.requests_completed, job.requests_failed),
        Counters(event.requests_completed, event.requests_failed),
    )
    return job.model_copy(
        update={
            "phase": event.phase,
            "finished_ranges": job.finished_ranges if event.finished_ranges is None else event.finished_ranges,
            "requests_total": event.requests_total or job.requests_total,
            "requests_completed": shown.completed,
            "requests_failed": shown.failed,
            "estimated_tokens": event.estimated_tokens or job.estimated_tokens,
            "progress": max(job.progress, event.progress),
            "rows_per_second": event.rows_per_second,
            "eta_seconds": event.eta_seconds,
        }
    )


def _ended(at: datetime, retention: timedelta) -> dict[str, datetime | None]:
    return {
        "phase": None,
        "completed_at": at,
        "expires_at": at + retention,
        "rows_per_second": None,
        "eta_seconds": None,
    }


def _require_processing(job: JobRecord, what: str) -> None:
    if job.status != "processing":
        raise IllegalTransition(f"Job {job.job_id} is {job.status} and cannot {what}.", status=job.status)


def _require_run(job: JobRecord, run: int) -> None:
    _require_processing(job, "advance")
    if run != job.run:
        raise IllegalTransition(f"Run {run} of job {job.job_id} was superseded by run {job.run}.")
