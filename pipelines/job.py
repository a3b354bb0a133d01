"""A job's record: what the client asked for and how far it is. Pure: knows neither Ray nor S3 nor HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from models.task import DEFAULT_MODE, DEFAULT_THRESHOLD, ClassificationTask, Mode

Status = Literal["pending", "processing", "completed", "failed"]
CANCELLED = "cancelled"
"""The error of a job that its client has cancelled."""
Phase = Literal["queued", "scanning", "classifying", "writing"]


class TaskConfig(BaseModel):
    """Labels and what was said of them, as a job or a saved classifier keeps it."""

    model_config = ConfigDict(frozen=True)

    labels: tuple[str, ...]
    descriptions: Mapping[str, str] = {}
    examples: Mapping[str, tuple[str, ...]] = {}
    source_type: str | None = None
    mode: Mode = DEFAULT_MODE
    threshold: float = DEFAULT_THRESHOLD

    def task(self) -> ClassificationTask:
        return ClassificationTask(
            labels=self.labels,
            descriptions=dict(self.descriptions),
            examples=dict(self.examples),
            source_type=self.source_type,
            mode=self.mode,
            threshold=self.threshold,
        )


class JobConfig(TaskConfig):
    """What the client asked for, frozen when the job is created.

    ``classifier`` names the version of a saved classifier that the rest was taken from.
    """

    model: str
    classifier: str | None = None


class InputVersion(BaseModel):
    """The uploaded object that an attempt reads: it is pinned when the job starts."""

    model_config = ConfigDict(frozen=True)

    etag: str
    size: int


class JobRecord(BaseModel):
    """Everything that is known of a job; stored as ``job.json``.

    ``attempt`` counts the client's starts and ``run`` the drivers that worked on the job; a driver whose run is not
    the record's has been superseded, even if no driver has the new attempt yet. The actor named ``driver`` has it
    now, with ``slots`` classifiers, ``in_kept_slots`` where those are of the share that is kept for small jobs; a job
    without slots waits to be admitted. ``start_keys`` are the hashes of the idempotency keys that its latest attempts
    were started with, and ``request_id`` is that of the call that began the attempt, which log lines about it carry.
    ``finished_ranges`` have a shard, as ``finished_at_death`` had when the attempt began or its latest driver died;
    ``fruitless_deaths`` are the latest of the attempt's ``driver_deaths``, each of which came before a further range
    was finished. ``epoch`` is the registry that wrote the record.
    """

    model_config = ConfigDict(frozen=True)

    job_id: str
    account: str
    config: JobConfig
    created_at: datetime
    expires_at: datetime | None = None
    status: Status = "pending"
    phase: Phase | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: str | None = None
    failed_by_input: bool = False
    requests_total: int = 0
    requests_completed: int = 0
    requests_failed: int = 0
    estimated_tokens: int | None = None
    actual_tokens: int | None = None
    progress: float = 0.0
    rows_per_second: float | None = None
    eta_seconds: float | None = None
    input: InputVersion | None = None
    attempt: int = 0
    run: int = 0
    driver: str | None = None
    driver_deaths: int = 0
    fruitless_deaths: int = 0
    finished_ranges: int = 0
    finished_at_death: int = 0
    slots: int = 0
    in_kept_slots: bool = False
    start_keys: tuple[str, ...] = ()
    request_id: str | None = None
    epoch: int = 0

    @property
    def log_fields(self) -> dict[str, str | int]:
        """What every log line about the job carries."""
        of_request = {"request_id": self.request_id} if self.request_id else {}
        return {"job_id": self.job_id, "attempt": self.attempt, "run": self.run, **of_request}
