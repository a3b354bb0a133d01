"""Saved classifiers and their versions. Pure: knows neither S3 nor HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict

from models.task import Mode
from pipelines.job import TaskConfig
from pipelines.layout import CLASSIFIER_NAME_PATTERN
from serve_app.exceptions import ClassifierNotFound, TooManyClassifiers

MAX_VERSIONS = 2_000
"""Of all classifiers of an account together: their index is read and written whole."""
MAX_RETIRED = 10_000

_REFERENCE = re.compile(rf"({CLASSIFIER_NAME_PATTERN.pattern})(?:@v([1-9][0-9]{{0,8}}))?")


@dataclass(frozen=True, slots=True)
class ClassifierReference:
    """``name``, the newest version, or ``name@v2``, one version for good."""

    name: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with a sentence for who wrote the reference."""
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise ValueError(f"A classifier is written as its name or, for one version, as name@v2, not {text[:50]!r}")
        return cls(match[1], int(match[2]) if match[2] else None)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@v{self.version}"


class SavedClassifier(TaskConfig):
    """One version of a classifier. It never changes."""

    name: str
    version: int
    created_at: datetime

    @property
    def reference(self) -> str:
        return str(ClassifierReference(self.name, self.version))

    @property
    def task_config(self) -> TaskConfig:
        return TaskConfig(**{name: getattr(self, name) for name in TaskConfig.model_fields})

    def with_answers(self, mode: Mode, threshold: float) -> TaskConfig:
        """The same labels, answered in another way."""
        return self.model_copy(update={"mode": mode, "threshold": threshold})


class VersionSummary(BaseModel):
    """What a list shows of a version."""

    model_config = ConfigDict(frozen=True)

    created_at: datetime
    mode: Mode
    label_count: int
    # The hash of the Idempotency-Key that it was saved with.
    request: str | None = None


class ClassifierIndex(BaseModel):
    """Every classifier of an account: the versions of each name, oldest first.

    ``retired`` holds the last version of deleted names, the latest deletions last: a version number that meant
    something is not given out again, unless ``MAX_RETIRED`` other names were deleted since.
    """

    model_config = ConfigDict(frozen=True)

    live: Mapping[str, Mapping[int, VersionSummary]] = {}
    last: Mapping[str, int] = {}
    retired: Mapping[str, int] = {}

    def next_version(self, name: str) -> int:
        return self.last.get(name, self.retired.get(name, 0)) + 1

    def versions(self, name: str) -> tuple[int, ...]:
        return tuple(self.live.get(name, ()))

    def resolve(self, reference: ClassifierReference) -> int:
        """The version that is meant. Raises ClassifierNotFound."""
        versions = self.versions(reference.name)
        if not versions:
            raise ClassifierNotFound(f"There is no classifier {reference.name}.")
        if reference.version is None:
            return versions[-1]
        if reference.version not in versions:
            raise ClassifierNotFound(
                f"Classifier {reference.name} has no version {reference.version}; its newest is {versions[-1]}."
            )
        return reference.version

    def saved_by(self, key_hash: str) -> ClassifierReference | None:
        """The version that was saved with this hash of an Idempotency-Key and is still there."""
        for name, versions in self.live.items():
            for version, summary in versions.items():
                if summary.request == key_hash:
                    return ClassifierReference(name, version)
        return None

    def with_version(self, saved: SavedClassifier, key_hash: str | None = None) -> ClassifierIndex:
        """Raises TooManyClassifiers at ``MAX_VERSIONS``."""
        count = sum(len(versions) for versions in self.live.values())
        if count >= MAX_VERSIONS:
            raise TooManyClassifiers(
                f"The account's saved classifiers have {count:,} versions together; the limit is {MAX_VERSIONS:,}."
                " Delete classifiers or versions that are not needed any more.",
                limit=MAX_VERSIONS,
            )
        summary = VersionSummary(
            created_at=saved.created_at, mode=saved.mode, label_count=len(saved.labels), request=key_hash
        )
        versions = {**self.live.get(saved.name, {}), saved.version: summary}
        return ClassifierIndex(
            live={**self.live, saved.name: versions},
            last={**self.last, saved.name: saved.version},
            retired={name: version for name, version in self.retired.items() if name != saved.name},
        )

    def without(self, reference: ClassifierReference) -> ClassifierIndex:
        """Without the name, or without the one version that is named. Raises ClassifierNotFound."""
        self.resolve(reference)
        gone = reference.version
        kept = {} if gone is None else {n: each for n, each in self.live[reference.name].items() if n != gone}
        if kept:
            return self.model_copy(update={"live": {**self.live, reference.name: kept}})
        retired = [*self.retired.items(), (reference.name, self.last[reference.name])]
        return ClassifierIndex(
            live={name: versions for name, versions in self.live.items() if name != reference.name},
            last={name: version for name, version in self.last.items() if name != reference.name},
            retired=dict(retired[-MAX_RETIRED:]),
        )
