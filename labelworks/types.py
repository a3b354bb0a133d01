"""What the client takes and returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date as calendar_date
from datetime import datetime
from typing import Any, Literal, Self, TypedDict

Status = Literal["pending", "processing", "completed", "failed", "cancelled"]
Phase = Literal["queued", "scanning", "classifying", "writing"]


Mode = Literal["single", "multi"]

# Of a job in ``multi``; the preview call has another.
DEFAULT_THRESHOLD = 0.3


class PreviewTask(TypedDict, total=False):
    """What to classify into; the service's defaults hold for what is left out.

    labels: 1 to 200 different labels. Required unless ``classifier`` is given.
    classifier: a saved classifier, ``name`` or ``name@v2``, instead of labels.
    descriptions: what a label means, by label.
    examples: texts that have a label, by label.
    source_type: what the texts are, such as "app review".
    threshold: 0 to 1, used where a text may have several labels.
    model: one of the engines that the operator allows.
    """

    labels: Sequence[str]
    classifier: str
    descriptions: Mapping[str, str]
    examples: Mapping[str, Sequence[str]]
    source_type: str
    threshold: float
    model: str


class Task(PreviewTask, total=False):
    """As ``PreviewTask``, for a job, which may be of either mode.

    mode: ``single`` (one label a text) or ``multi`` (every label at or over the threshold).
    """

    mode: Mode


class _FromJson:
    @classmethod
    def from_json(cls, answer: Mapping[str, Any]) -> Self:
        """Read an answer of the service, leaving out fields that this version does not know."""
        known = {field.name: field.type for field in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: _value(known[name], value) for name, value in answer.items() if name in known})

    @classmethod
    def list_from_json(cls, answer: Sequence[Mapping[str, Any]]) -> list[Self]:
        """Read a list of them. Raises TypeError for what is none."""
        if not isinstance(answer, list):
            raise TypeError(f"{type(answer).__name__} is no list")
        return [cls.from_json(entry) for entry in answer]


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
    classifier: str | None = None
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
        return cls(**_scored(line))


@dataclass(frozen=True, slots=True)
class PreviewResult(Result):
    """A Result that was given at once. ``cached``: the same text had been asked for before.

    ``latency_ms`` is the time that the service took; None within the answer for many texts.
    """

    cached: bool | None = None
    latency_ms: float | None = None

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Self:
        """Read an answer, or one of its results."""
        return cls(**_scored(line), cached=line.get("cached"), latency_ms=line.get("latency_ms"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSummary(_FromJson):
    """A saved classifier in a list: its newest version, and all that are there."""

    name: str
    version: int
    versions: Sequence[int]
    mode: Mode
    label_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier(_FromJson):
    """One version of a saved classifier. ``classifier`` names it for good: ``reviews@v2``."""

    name: str
    version: int
    classifier: str
    labels: Sequence[str]
    descriptions: Mapping[str, str]
    examples: Mapping[str, Sequence[str]]
    source_type: str | None
    mode: Mode
    threshold: float
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(_FromJson):
    """An API key without its secret. ``prefix`` is how the secret begins."""

    id: str
    account: str
    name: str | None = None
    prefix: str
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedKey(Key):
    """A new API key; ``key`` is the secret, which ``repr`` does not show."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageAmounts(_FromJson):
    """What was used. ``items`` are those of completed jobs and the texts of preview calls (``calls``)."""

    jobs: int
    items: int
    items_failed: int
    calls: int
    tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageDay(UsageAmounts):
    """What was used on a day (UTC)."""

    date: calendar_date


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What an account used, by day, also on days without any use, and in all."""

    account: str
    days: Sequence[UsageDay]
    total: UsageAmounts

    @classmethod
    def from_json(cls, answer: Mapping[str, Any]) -> Self:
        """Read the service's answer."""
        days = [UsageDay.from_json(day) for day in answer["days"]]
        return cls(answer["account"], days, UsageAmounts.from_json(answer["total"]))


def _scored(line: Mapping[str, Any]) -> dict[str, Any]:
    error = line.get("error")
    scored = line.get("labels", [line] if "label" in line else [])
    return {
        "labels": tuple(ScoredLabel(entry["label"], entry["confidence"]) for entry in scored),
        "tokens": line.get("tokens"),
        "error": ItemError(error["code"], error["message"]) if error else None,
        "id": line.get("id"),
        "custom_id": line.get("custom_id"),
    }


def _value(annotation: Any, value: Any) -> Any:
    if value is None:
        return None
    if annotation == "calendar_date":
        return calendar_date.fromisoformat(value)
    return datetime.fromisoformat(value) if "datetime" in str(annotation) else value
