"""What the client takes and returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, Self, TypedDict

Status = Literal["pending", "processing", "completed", "failed", "cancelled"]
Phase = Literal["queued", "scanning", "classifying", "writing"]


class Task(TypedDict, total=False):
    """What to classify into; the service's defaults hold for what is left out.

    labels: 1 to 200 different labels. Required unless ``classifier`` is given.
    classifier: a saved classifier, ``name`` or ``name@v2``, instead of labels.
    descriptions: what a label means, by label.
    examples: texts that have a label, by label.
    source_type: what the texts are, such as "app review".
    mode: ``single`` (one label a text) or ``multi`` (every label at or over the threshold).
    threshold: 0 to 1, used by ``multi``.
    model: one of the engines that the operator allows.
    """

    labels: Sequence[str]
    classifier: str
    descriptions: Mapping[str, str]
    examples: Mapping[str, Sequence[str]]
    source_type: str
    mode: Literal["single", "multi"]
    threshold: float
    model: str


class _FromJson:
    @classmethod
    def from_json(cls, answer: Mapping[str, Any]) -> Self:
        """Read an answer of the service, leaving out fields that this version does not know."""
        known = {field.name: field.type for field in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: _value(known[name], value) for name, value in answer.items() if name in known})


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedBatch(_FromJson):
    """A new job, and the form with which its file is to be uploaded."""

    job_id: str
    upload_url: str
    upload_fields: Mapping[str, str]
    input_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary(_FromJson):
    """A job in a list. ``progress`` is 0-1."""

    job_id: str
    status: Status
    requests_total: int
    requests_completed: int
    requests_failed: int = 0
    created_at: datetime
    phase: Phase | None = None
    progress: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the job is at rest: it will not change unless it is started again."""
        return self.status not in ("pending", "processing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(BatchSummary):
    """A job. ``requests_completed`` and ``requests_failed`` add up to ``requests_total`` in the end."""

    estimated_tokens: int | None = None
    actual_tokens: int | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: str | None = None
    rows_per_second: float | None = None
    eta_seconds: float | None = None
    cost_usd: float | None = None
    model: str | None = None
    attempt: int | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ScoredLabel:
    """A label and the probability (0-1) that it is right."""

    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why an item could not be classified."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """The answer for one item.

    ``labels`` are best first: one in ``single``, any number in ``multi``, none for an item with an ``error``.
    ``id`` and ``custom_id`` repeat the item's own.
    """

    labels: tuple[ScoredLabel, ...] = ()
    tokens: int | None = None
    error: ItemError | None = None
    id: str | int | float | None = None
    custom_id: str | int | float | None = None

    @property
    def label(self) -> str | None:
        """The best label, if there is one."""
        return self.labels[0].label if self.labels else None

    @property
    def confidence(self) -> float | None:
        """The confidence of the best label, if there is one."""
        return self.labels[0].confidence if self.labels else None

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Self:
        """Read a line of the result file."""
        error = line.get("error")
        scored = line.get("labels", [line] if "label" in line else [])
        return cls(
            labels=tuple(ScoredLabel(entry["label"], entry["confidence"]) for entry in scored),
            tokens=line.get("tokens"),
            error=ItemError(error["code"], error["message"]) if error else None,
            id=line.get("id"),
            custom_id=line.get("custom_id"),
        )


def _value(annotation: Any, value: Any) -> Any:
    return datetime.fromisoformat(value) if value is not None and "datetime" in str(annotation) else value
