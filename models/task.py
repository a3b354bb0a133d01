"""What a classifier is asked to do, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["single", "multi"]


@dataclass(frozen=True, slots=True)
class ClassificationTask:
    """The labels to choose from and everything the client said about them.

    ``descriptions`` and ``examples`` are keyed by label and may cover only some of them.
    ``threshold`` (0-1) is used in ``multi`` only.
    """

    labels: tuple[str, ...]
    descriptions: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source_type: str | None = None
    mode: Mode = "single"
    threshold: float = 0.3


@dataclass(frozen=True, slots=True)
class ScoredLabel:
    """A label and the calibrated probability (0-1) that it is right."""

    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one text.

    ``labels`` holds exactly one entry in ``single``; in ``multi`` those at or over the threshold, best first.
    ``tokens`` counts the text's tokens as the model reads them.
    """

    labels: tuple[ScoredLabel, ...]
    tokens: int
