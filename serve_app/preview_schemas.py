"""What clients send and receive of preview calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict, JsonValue

from models.task import DEFAULT_THRESHOLD, Prediction
from pipelines.job import JobConfig
from pipelines.ndjson import MAX_TEXT_CHARACTERS, ErrorCode, ItemError
from serve_app.preview_classifier import PreviewAnswer
from serve_app.saved_classifier import SavedClassifier
from serve_app.task_fields import TaskChoice, Threshold

Item = TypeVar("Item")

MAX_TEXTS = 1_000
"""Of one request, and of requests that are classified together."""

_TAG_THRESHOLD = 0.5
_TASK: JsonDict = {"labels": ["billing", "bug", "praise"], "source_type": "app review"}
_TEXTS: list[JsonValue] = ["I was charged twice", "It crashes on start"]


def _examples(**texts: JsonValue) -> ConfigDict:
    return ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{**texts, **_TASK}, {**texts, "classifier": "reviews@v2"}]}
    )


class _Task(TaskChoice):
    cache: Any = Field(
        None,
        description="`false`: classify anew. Anything else changes nothing.",
        json_schema_extra={"examples": [True]},
    )

    @property
    def may_be_cached(self) -> bool:
        return self.cache is not False


class _OneLabel(_Task):
    mode: Literal["single"] | None = Field("single", description="`/v1/tag` gives several labels.")
    threshold: Threshold | None = Field(None, description="Accepted and changes nothing.")

    def config(self, models: Sequence[str], saved: SavedClassifier | None) -> JobConfig:
        """As a batch in ``single`` would have it. Raises RequestInvalid."""
        return self.chosen(models, saved, mode="single", threshold=DEFAULT_THRESHOLD)


class _SeveralLabels(_Task):
    mode: Literal["multi"] | None = Field("multi", description="`/v1/classify` gives one label.")
    threshold: Threshold | None = Field(
        None,
        description="Labels at or over it are given. Left out beside a `classifier`, the classifier's own holds.",
        json_schema_extra={"default": _TAG_THRESHOLD},
    )

    def config(self, models: Sequence[str], saved: SavedClassifier | None) -> JobConfig:
        """As a batch in ``multi`` would have it. Raises RequestInvalid."""
        threshold = _TAG_THRESHOLD if saved is None and self.threshold is None else self.threshold
        return self.chosen(models, saved, mode="multi", threshold=threshold)


class _OneText(BaseModel):
    text: str = Field(description=f"1 to {MAX_TEXT_CHARACTERS:,} characters.")


class _Texts(BaseModel):
    texts: Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)] = Field(
        description=f"1 to {MAX_TEXTS:,} texts. One that cannot be classified has an error in its place."
    )


class ClassifyText(_OneText, _OneLabel):
    model_config = _examples(text=_TEXTS[0])


class ClassifyTexts(_Texts, _OneLabel):
    model_config = _examples(texts=_TEXTS)


class TagText(_OneText, _SeveralLabels):
    model_config = _examples(text=_TEXTS[0])


class TagTexts(_Texts, _SeveralLabels):
    model_config = _examples(texts=_TEXTS)


class LabelScore(BaseModel):
    label: str = Field(examples=["billing"])
    confidence: float = Field(description="The probability that it is right.", ge=0, le=1, examples=[0.9412])


class ClassifiedItem(LabelScore):
    tokens: int
    cached: bool = Field(description="Whether the answer had been given before.")

    @classmethod
    def of(cls, prediction: Prediction, cached: bool) -> Self:
        (best,) = prediction.labels
        return cls(label=best.label, confidence=_rounded(best.confidence), tokens=prediction.tokens, cached=cached)


class TaggedItem(BaseModel):
    labels: list[LabelScore] = Field(description="Best first; none where no label reaches the threshold.")
    tokens: int
    cached: bool = Field(description="Whether the answer had been given before.")

    @classmethod
    def of(cls, prediction: Prediction, cached: bool) -> Self:
        scores = [LabelScore(label=each.label, confidence=_rounded(each.confidence)) for each in prediction.labels]
        return cls(labels=scores, tokens=prediction.tokens, cached=cached)


class Classified(ClassifiedItem):
    latency_ms: float


class Tagged(TaggedItem):
    latency_ms: float


class ItemErrorBody(BaseModel):
    code: ErrorCode
    message: str


class FailedItem(BaseModel):
    error: ItemErrorBody

    @classmethod
    def of(cls, error: ItemError) -> Self:
        return cls(error=ItemErrorBody(code=error.code, message=error.message))


class ClassifiedBatch(BaseModel):
    """The answers in the order of the texts."""

    results: list[ClassifiedItem | FailedItem]
    total_tokens: int
    latency_ms: float

    @classmethod
    def of(cls, answers: Sequence[PreviewAnswer], latency_ms: float) -> Self:
        return cls(
            results=_items(answers, ClassifiedItem.of), total_tokens=_total_tokens(answers), latency_ms=latency_ms
        )


class TaggedBatch(BaseModel):
    """The answers in the order of the texts."""

    results: list[TaggedItem | FailedItem]
    total_tokens: int
    latency_ms: float

    @classmethod
    def of(cls, answers: Sequence[PreviewAnswer], latency_ms: float) -> Self:
        return cls(results=_items(answers, TaggedItem.of), total_tokens=_total_tokens(answers), latency_ms=latency_ms)


def _items(answers: Sequence[PreviewAnswer], item_of: Callable[[Prediction, bool], Item]) -> list[Item | FailedItem]:
    return [
        FailedItem.of(each.outcome) if isinstance(each.outcome, ItemError) else item_of(each.outcome, each.cached)
        for each in answers
    ]


def _rounded(confidence: float) -> float:
    return round(float(confidence), 4)


def _total_tokens(answers: Sequence[PreviewAnswer]) -> int:
    return sum(each.outcome.tokens for each in answers if isinstance(each.outcome, Prediction))
