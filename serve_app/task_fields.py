"""The fields that say what to classify into, as every request that takes them reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from models.task import DEFAULT_MODE, DEFAULT_THRESHOLD, Mode
from pipelines.job import JobConfig, TaskConfig
from serve_app.exceptions import RequestInvalid
from serve_app.saved_classifier import ClassifierReference, SavedClassifier

MAX_LABELS = 200
MAX_LABEL_CHARACTERS = 100
MAX_EXAMPLES = 20_000
"""Of all labels together: each classifier of a job encodes them all, and fits its labels to them."""
MAX_GUIDANCE_CHARACTERS = 1_000_000
"""Of descriptions and examples together."""

Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_LABEL_CHARACTERS)]
_label: TypeAdapter[str] = TypeAdapter(Label)
_Labels = Annotated[list[Label], Field(min_length=1, max_length=MAX_LABELS)]
_LABELS_DESCRIPTION = f"1 to {MAX_LABELS} different labels of 1 to {MAX_LABEL_CHARACTERS} characters."
Text = Annotated[str, StringConstraints(strip_whitespace=True)]
Threshold = Annotated[float, Field(ge=0, le=1, strict=True, allow_inf_nan=False)]


class FieldError(ValueError):
    """A rule that one field breaks."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class LabelFields(BaseModel):
    """Labels and what helps to tell them apart."""

    model_config = ConfigDict(extra="forbid")

    labels: _Labels | None = Field(None, description=_LABELS_DESCRIPTION)
    descriptions: dict[Label, Text] | None = Field(
        None,
        description=f"What a label means, by label. With the examples, at most {MAX_GUIDANCE_CHARACTERS:,} characters."
        " An empty text is none.",
    )
    examples: dict[Label, list[Text]] | None = Field(
        None,
        description=f"Texts that have a label, by label, at most {MAX_EXAMPLES:,} in all; empty ones are left out."
        " Every model learns from them but `nli`, which ignores them.",
    )
    source_type: str | None = Field(
        None, max_length=200, description='What the texts are, such as "app review" or "support ticket".'
    )
    text_type: str | None = Field(
        None, max_length=200, description="An alias of `source_type`.", json_schema_extra={"deprecated": True}
    )

    @field_validator("descriptions", "examples", mode="wrap")
    @classmethod
    def _require_different_keys(cls, given: Any, read: ValidatorFunctionWrapHandler, field: ValidationInfo) -> Any:
        by_label = read(given)
        if isinstance(given, dict) and len(by_label) < len(given):
            times = Counter(map(_label.validate_python, given))
            ((repeated, _),) = times.most_common(1)
            name = str(field.field_name)
            raise FieldError(
                name, f"Keys of {name} must be unique once they are trimmed; {repeated!r} is there more than once"
            )
        return by_label

    @field_validator("examples", mode="before")
    @classmethod
    def _require_few_examples(cls, given: Any) -> Any:
        by_label = given.values() if isinstance(given, dict) else ()
        count = sum(len(texts) for texts in by_label if isinstance(texts, list))
        if count > MAX_EXAMPLES:
            raise FieldError(
                "examples", f"examples has {count:,} texts for all labels together; the limit is {MAX_EXAMPLES:,}"
            )
        return given

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._require_few_characters()
        self.require_labels()
        for name in ("descriptions", "examples"):
            unknown = [label for label in getattr(self, name) or {} if label not in (self.labels or ())]
            if unknown:
                raise FieldError(name, f"Every key of {name} must be one of labels; {unknown[0]!r} is not")
        if None not in (self.source_type, self.text_type) and self.source_type != self.text_type:
            raise FieldError("text_type", "text_type is an alias of source_type; send only one of them")
        return self

    def _require_few_characters(self) -> None:
        described = sum(map(len, (self.descriptions or {}).values()))
        exemplified = sum(len(text) for texts in (self.examples or {}).values() for text in texts)
        if described + exemplified > MAX_GUIDANCE_CHARACTERS:
            raise FieldError(
                "examples" if exemplified > described else "descriptions",
                f"The texts of descriptions and examples have {described + exemplified:,} characters together; the"
                f" limit is {MAX_GUIDANCE_CHARACTERS:,}",
            )

    def require_labels(self) -> None:
        """Raises FieldError unless there are different labels."""
        if self.labels is None:
            raise FieldError("labels", f"labels is required: a list of 1 to {MAX_LABELS} different strings")
        if len(set(self.labels)) < len(self.labels):
            raise FieldError("labels", "Labels must be unique")

    def task_config(self, mode: Mode | None, threshold: float | None) -> TaskConfig:
        """What a job or a classifier keeps; without a mode or a threshold the defaults."""
        return TaskConfig(
            labels=tuple(self.labels or ()),
            descriptions={label: text for label, text in (self.descriptions or {}).items() if text},
            examples={
                label: tuple(filter(None, texts)) for label, texts in (self.examples or {}).items() if any(texts)
            },
            source_type=(self.source_type or self.text_type or "").strip() or None,
            mode=mode or DEFAULT_MODE,
            threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
        )


class AcceptedFields(BaseModel):
    """What clients of the synchronous calls send with every call."""

    model_config = ConfigDict(extra="forbid")

    priority: Any = Field(None, description="Accepted and changes nothing.", json_schema_extra={"deprecated": True})
    cache: Any = Field(None, description="Accepted and changes nothing.", json_schema_extra={"deprecated": True})


class TaskChoice(LabelFields, AcceptedFields):
    """Labels, or a saved classifier instead of them."""

    labels: _Labels | None = Field(None, description=f"{_LABELS_DESCRIPTION} Required unless `classifier` is given.")
    classifier: str | None = Field(
        None,
        max_length=200,
        description="A saved classifier instead of `labels`: `name` is its newest version, `name@v2` its version 2."
        " Resolved at once: what is saved later changes nothing.",
    )
    model: str | None = Field(
        None, max_length=200, description="Ours: one of the engines that the operator allows; none: the default."
    )

    def require_labels(self) -> None:
        if self.classifier is None:
            super().require_labels()
            return
        if self.labels is not None:
            raise FieldError("classifier", "Send either labels or classifier, not both")
        for name in ("descriptions", "examples", "source_type", "text_type"):
            if getattr(self, name) is not None:
                raise FieldError(
                    name, f"{name} belongs to the saved classifier; send labels instead of classifier to say it here"
                )
        try:
            ClassifierReference.parse(self.classifier)
        except ValueError as error:
            raise FieldError("classifier", str(error)) from error

    def chosen(
        self, models: Sequence[str], saved: SavedClassifier | None, *, mode: Mode | None, threshold: float | None
    ) -> JobConfig:
        """The request with ``saved``, the classifier that it names, in the place of labels.

        Without a mode or a threshold the classifier's own hold, or the defaults. ``models`` are those allowed, the
        default first; raises RequestInvalid.
        """
        if self.model is not None and self.model not in models:
            raise RequestInvalid(f"model: must be one of {', '.join(models)}, not {self.model[:50]!r}", field="model")
        if saved is None:
            task = self.task_config(mode, threshold)
        else:
            task = saved.with_answers(mode or saved.mode, saved.threshold if threshold is None else threshold)
        return JobConfig(
            model=self.model or models[0],
            classifier=saved and saved.reference,
            **{name: getattr(task, name) for name in TaskConfig.model_fields},
        )
