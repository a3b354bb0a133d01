"""What clients send and receive, as the contract has it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from models.task import Mode
from pipelines.exceptions import RequestInvalid
from pipelines.job import JobConfig, JobRecord, Phase, Status

MAX_LABELS = 200

Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class CreateBatch(BaseModel):
    """A new job: the labels and everything that helps to tell them apart."""

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
                }
            ]
        },
    )

    labels: Annotated[list[Label], Field(min_length=1, max_length=MAX_LABELS)] | None = Field(
        None, description="1 to 200 different labels of 1 to 100 characters. Required unless `classifier` is given."
    )
    classifier: str | None = Field(
        None, description="A saved classifier, instead of `labels`. Not available yet: send `labels`."
    )
    descriptions: dict[Label, Text] | None = Field(None, description="What a label means, by label.")
    examples: dict[Label, list[Text]] | None = Field(None, description="Texts that have a label, by label.")
    source_type: str | None = Field(
        None, max_length=200, description='What the texts are, such as "app review" or "support ticket".'
    )
    text_type: str | None = Field(
        None, max_length=200, description="An alias of `source_type`.", json_schema_extra={"deprecated": True}
    )
    model: str | None = Field(
        None, max_length=200, description="Ours: one of the engines that the operator allows; none: the default."
    )
    mode: Mode = Field(
        "single", description="`single`: exactly one label a text. `multi`: every label at or over `threshold`."
    )
    threshold: float = Field(0.3, ge=0, le=1, strict=True, allow_inf_nan=False, description="Used by `multi` only.")
    priority: Any = Field(None, description="Accepted and changes nothing.", json_schema_extra={"deprecated": True})
    cache: Any = Field(None, description="Accepted and changes nothing.", json_schema_extra={"deprecated": True})

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.classifier is not None and self.labels is not None:
            raise FieldError("classifier", "Send either labels or classifier, not both")
        if self.classifier is not None:
            raise FieldError("classifier", "Saved classifiers are not available yet; send labels instead")
        if self.labels is None:
            raise FieldError("labels", "labels is required: a list of 1 to 200 different strings")
        if len(set(self.labels)) < len(self.labels):
            raise FieldError("labels", "Labels must be unique")
        for name in ("descriptions", "examples"):
            unknown = [label for label in getattr(self, name) or {} if label not in self.labels]
            if unknown:
                raise FieldError(name, f"Every key of {name} must be one of labels; {unknown[0]!r} is not")
        if None not in (self.source_type, self.text_type) and self.source_type != self.text_type:
            raise FieldError("text_type", "text_type is an alias of source_type; send only one of them")
        return self

    def config(self, models: Sequence[str] = ("minilm",)) -> JobConfig:
        """What the job keeps of the request. ``models`` are those allowed, the default first; raises RequestInvalid."""
        if self.model is not None and self.model not in models:
            raise RequestInvalid(f"model: must be one of {', '.join(models)}, not {self.model[:50]!r}", field="model")
        return JobConfig(
            model=self.model or models[0],
            labels=tuple(self.labels or ()),
            descriptions=self.descriptions or {},
            examples={label: tuple(texts) for label, texts in (self.examples or {}).items()},
            source_type=(self.source_type or self.text_type or "").strip() or None,
            mode=self.mode,
            threshold=self.threshold,
        )


class FieldError(ValueError):
    """A rule that one field breaks."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class BatchCreated(BaseModel):
    """POST the file to ``upload_url`` as a multipart form: every entry of ``upload_fields``, then ``file`` last."""

    job_id: str = Field(examples=["batch_4f8k2m9x1q7w3e5r"])
    upload_url: str = Field(examples=["https://my-bucket.s3.amazonaws.com/"])
    upload_fields: dict[str, str]
    input_key: str = Field(examples=["batch/acme/batch_4f8k2m9x1q7w3e5r/input.ndjson"])


class BatchStarted(BaseModel):
    job_id: str
    status: Literal["processing"] = "processing"


class BatchSummary(BaseModel):
    job_id: str
    status: Status
    requests_total: int
    requests_completed: int
    requests_failed: int = Field(description="Ours.")
    created_at: datetime
    phase: Phase | None = Field(description="Ours.")
    progress: float = Field(description="Ours.")


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
    attempt: int = Field(description="Ours: how often the job was started.")
    expires_at: datetime | None = Field(description="Ours: when the job and its objects may be removed.")

    @classmethod
    def of(cls, job: JobRecord, price_per_million_tokens: float) -> Self:
        tokens = job.estimated_tokens if job.actual_tokens is None else job.actual_tokens
        cost = None if tokens is None else round(tokens * price_per_million_tokens / 1_000_000, 6)
        return cls(cost_usd=cost, model=job.config.model, **job.model_dump(include=set(cls.model_fields)))


class BatchResults(BaseModel):
    """Line N of the file at ``download_url`` answers item N of the input."""

    job_id: str
    download_url: str


class ResultPart(BaseModel):
    """The results of items ``first_item`` to ``first_item + items - 1``, counted from 0, a line each."""

    first_item: int
    items: int
    download_url: str


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
