"""What clients send and receive, as the contract has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from models.task import DEFAULT_MODE, DEFAULT_THRESHOLD, Mode
from pipelines.job import JobConfig, JobRecord, Phase, Status
from serve_app.saved_classifier import SavedClassifier
from serve_app.task_fields import AcceptedFields, TaskChoice, Threshold


class CreateBatch(TaskChoice):
    """A new job: the labels and everything that helps to tell them apart, or a saved classifier."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "labels": ["billing", "bug", "praise"],
                    "descriptions": {"billing": "payments, invoices, refunds", "bug": "something does not work"},
                    "examples": {"praise": ["Love it!", "Best app I have"]},
                    "source_type": "app review",
                    "mode": "single",
                },
                {"classifier": "reviews@v2"},
            ]
        },
    )

    mode: Mode | None = Field(
        None,
        description="`single`: exactly one label a text. `multi`: every label at or over `threshold`. Left out beside"
        " a `classifier`, the classifier's own holds.",
        json_schema_extra={"default": DEFAULT_MODE},
    )
    threshold: Threshold | None = Field(
        None,
        description="Used by `multi` only. Left out beside a `classifier`, the classifier's own holds.",
        json_schema_extra={"default": DEFAULT_THRESHOLD},
    )

    def identity(self) -> str:
        """The same for requests that ask for the same job, and for no others."""
        asked = self.task_config(self.mode, self.threshold).model_dump(mode="json")
        if self.classifier is not None:
            # Left out they are the classifier's own, which need not be the defaults.
            asked |= {"mode": self.mode, "threshold": self.threshold}
        return json.dumps(asked | {"classifier": self.classifier, "model": self.model}, sort_keys=True)

    def config(self, models: Sequence[str], saved: SavedClassifier | None = None) -> JobConfig:
        """What the job keeps of the request and of the classifier that it names.

        ``models`` are those allowed, the default first; raises RequestInvalid.
        """
        return self.chosen(models, saved, mode=self.mode, threshold=self.threshold)


class BatchCreated(BaseModel):
    """POST the file to ``upload_url`` as a multipart form: every entry of ``upload_fields``, then ``file`` last."""

    job_id: str = Field(examples=["batch_4f8k2m9x1q7w3e5r"])
    upload_url: str = Field(examples=["https://my-bucket.s3.amazonaws.com/"])
    upload_fields: dict[str, str]
    input_key: str = Field(examples=["batch/acme/batch_4f8k2m9x1q7w3e5r/input.ndjson"])


class StartBatch(AcceptedFields):
    """May be left out: everything about the job was said when it was created."""


class BatchStarted(BaseModel):
    job_id: str
    status: Literal["processing"] = "processing"


class BatchSummary(BaseModel):
    job_id: str
    status: Status
    requests_total: int
    requests_completed: int
    requests_failed: int = Field(description="Ours: items answered with an error so far.")
    created_at: datetime
    phase: Phase | None = Field(description="Ours: what a processing job is at.")
    progress: float = Field(description="Ours: the share of the work that is done, 0 to 1.")


class BatchStatus(BaseModel):
    """A job. ``requests_completed`` and ``requests_failed`` add up to ``requests_total`` in the end."""

    job_id: str
    status: Status
    requests_total: int = Field(description="Items in the file.")
    requests_completed: int = Field(description="Items classified so far.")
    requests_failed: int = Field(description="Items answered with an error so far.")
    estimated_tokens: int | None = Field(description="Known once the job is started.")
    actual_tokens: int | None = Field(description="Known once the job is completed.")
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None = Field(description="When the job completed or failed.")
    error: str | None = Field(description="Why the job failed.")
    phase: Phase | None = Field(description="Ours: what a processing job is at.")
    progress: float = Field(ge=0, le=1, description="Ours: the share of the work that is done.")
    rows_per_second: float | None = Field(description="Ours: items a second, lately.")
    eta_seconds: float | None = Field(description="Ours: how long the job will take from now.")
    cost_usd: float | None = Field(description="Ours: at the configured price; of the estimate until completed.")
    model: str = Field(description="Ours: the engine that classifies.")
    classifier: str | None = Field(description="Ours: the version of a saved classifier that was asked for.")
    attempt: int = Field(description="Ours: how often the job was started.")
    expires_at: datetime | None = Field(description="Ours: the job and its objects are not removed before.")

    @classmethod
    def of(cls, job: JobRecord, price_per_million_tokens: float) -> Self:
        tokens = job.estimated_tokens if job.actual_tokens is None else job.actual_tokens
        config = job.config
        return cls(
            cost_usd=None if tokens is None else cost_usd(tokens, price_per_million_tokens),
            model=config.model,
            classifier=config.classifier,
            **job.model_dump(include=set(cls.model_fields)),
        )


def cost_usd(tokens: int, price_per_million_tokens: float) -> float:
    """Dollars, to the millionth."""
    return round(tokens * price_per_million_tokens / 1_000_000, 6)


class BatchResults(BaseModel):
    """Line N of the file at ``download_url`` answers item N of the input: a ``ResultLine``."""

    job_id: str = Field(examples=["batch_4f8k2m9x1q7w3e5r"])
    download_url: str = Field(
        examples=[
            "https://my-bucket.s3.amazonaws.com/batch/acme/batch_4f8k2m9x1q7w3e5r/results.ndjson?X-Amz-Signature=…"
        ]
    )


class ResultPart(BaseModel):
    """The results of items ``first_item`` to ``first_item + items - 1``, counted from 0, a line each."""

    first_item: int = Field(examples=[0])
    items: int = Field(examples=[5120])
    download_url: str = Field(
        examples=[
            "https://my-bucket.s3.amazonaws.com/batch/acme/batch_4f8k2m9x1q7w3e5r/shards/00000.ndjson?X-Amz-Signature=…"
        ]
    )


class PartialResults(BaseModel):
    """The finished parts of a job, in input order. Parts that are not finished are missing between them."""

    job_id: str
    status: Status
    parts: list[ResultPart]


class BatchCancelled(BaseModel):
    job_id: str
    status: Literal["failed"] = "failed"


class BatchDeleted(BaseModel):
    job_id: str
    deleted: Literal[True] = True


class Health(BaseModel):
    status: Literal["healthy"] = "healthy"
    version: str


class ErrorBody(BaseModel):
    """The one shape of every error."""

    error: str = Field(examples=["validation-error"])
    code: str = Field(examples=["VALIDATION_ERROR"])
    message: str = Field(examples=["Labels must be unique"])
    details: dict[str, Any] = Field(examples=[{"field": "labels"}])
    detail: str = Field(description="Repeats the message.", examples=["Labels must be unique"])
