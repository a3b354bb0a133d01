"""What clients send and receive of saved classifiers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from models.task import DEFAULT_MODE, DEFAULT_THRESHOLD, Mode
from pipelines.job import TaskConfig
from pipelines.layout import CLASSIFIER_NAME_PATTERN
from serve_app.saved_classifier import SavedClassifier, VersionSummary
from serve_app.task_fields import AcceptedFields, LabelFields, Threshold

_EXAMPLE: JsonDict = {
    "labels": ["billing", "bug", "praise"],
    "descriptions": {"billing": "payments, invoices, refunds"},
    "examples": {"praise": ["Love it!", "Best app I have"]},
    "source_type": "app review",
    "mode": "single",
    "threshold": 0.3,
}

# Names become paths, and "@" begins a version.
ClassifierName = Annotated[str, StringConstraints(max_length=64, pattern=f"^{CLASSIFIER_NAME_PATTERN.pattern}$")]


class SaveClassifier(LabelFields, AcceptedFields):
    """Labels and everything that helps to tell them apart, to be used by name."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "reviews", **_EXAMPLE}]})

    name: ClassifierName = Field(
        description="1 to 64 characters of letters, digits, `.`, `_` and `-`, the first a letter or a digit. A name"
        " that is there already gets another version."
    )
    mode: Mode | None = Field(
        None,
        description="What calls that send no `mode` with the classifier get.",
        json_schema_extra={"default": DEFAULT_MODE},
    )
    threshold: Threshold | None = Field(
        None, description="The same of `threshold`.", json_schema_extra={"default": DEFAULT_THRESHOLD}
    )

    def task(self) -> TaskConfig:
        return self.task_config(self.mode, self.threshold)


class Classifier(BaseModel):
    """One version of a saved classifier."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "reviews",
                    "version": 2,
                    "classifier": "reviews@v2",
                    **_EXAMPLE,
                    "created_at": "2026-11-24T12:00:00Z",
                }
            ]
        }
    )

    name: str
    version: int
    classifier: str = Field(description="This version for good, to be sent as `classifier`.")
    labels: list[str]
    descriptions: dict[str, str]
    examples: dict[str, list[str]]
    source_type: str | None
    mode: Mode
    threshold: float
    created_at: datetime

    @classmethod
    def of(cls, saved: SavedClassifier) -> Self:
        return cls(classifier=saved.reference, **saved.model_dump())


class ClassifierSummary(BaseModel):
    """A classifier in the list; ``mode``, ``label_count`` and ``created_at`` are those of its newest version."""

    name: str = Field(examples=["reviews"])
    version: int = Field(description="The newest version.", examples=[2])
    versions: list[int] = Field(description="Those that are there, oldest first.", examples=[[1, 2]])
    mode: Mode
    label_count: int
    created_at: datetime

    @classmethod
    def of(cls, name: str, versions: dict[int, VersionSummary]) -> Self:
        newest = max(versions)
        return cls(name=name, version=newest, versions=sorted(versions), **dict(versions[newest]))


class ClassifierDeleted(BaseModel):
    name: str
    version: int | None = Field(description="The version that was deleted; null where the whole classifier was.")
    deleted: Literal[True] = True
