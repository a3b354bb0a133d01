"""What a classifier is asked to do, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Literal

Mode = Literal["single", "multi"]

DEFAULT_MODE: Mode = "single"
DEFAULT_THRESHOLD = 0.3
"""Of jobs and saved classifiers that name none."""
DESCRIPTION_CHARACTERS = 4_000
"""Of a description that are read: over two windows of most models, more than a sentence on each of its parts."""
DESCRIPTIONS_CHARACTERS = 200_000
"""Of all descriptions of a task: 1,000 for each of 200 labels. An encoder reads a description five times, and so of a
task no more than of the texts of one request."""
MOST_EXAMPLES = 10_000
"""Of a task that are read: all of ten labels with a thousand each."""


@dataclass(frozen=True, slots=True)
class ClassificationTask:
    """The labels to choose from and everything the client said about them.

    ``descriptions`` and ``examples`` are keyed by label and may cover only some of them. Engines read what
    ``description`` gives, and at most MOST_EXAMPLES examples, one of each label before the second of any.
    ``threshold`` (0-1) is used in ``multi`` only.
    """

    labels: tuple[str, ...]
    descriptions: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source_type: str | None = None
    mode: Mode = DEFAULT_MODE
    threshold: float = DEFAULT_THRESHOLD

    @property
    def is_choice(self) -> bool:
        """Whether one of several labels is asked for, rather than yes or no to each."""
        return self.mode == "single" and len(self.labels) > 1

    def description(self, label: str) -> str:
        """What is read of the label's description, "" where it has none: its first DESCRIPTION_CHARACTERS, or an equal
        part of DESCRIPTIONS_CHARACTERS where there are many."""
        most = min(DESCRIPTION_CHARACTERS, DESCRIPTIONS_CHARACTERS // max(len(self.descriptions), 1))
        return self.descriptions.get(label, "").strip()[:most]

    def examples_in_turn(self, labels: Sequence[str], each: int | None = None) -> Iterator[tuple[str, str]]:
        """MOST_EXAMPLES of these labels at most, and ``each`` of a label (None: any number), with their labels: one of
        each label before the second of any, so that the last ones are not all of one label."""
        listed = ([(label, text) for text in self.examples.get(label, ())[:each]] for label in labels)
        in_turn = (example for turn in zip_longest(*listed) for example in turn if example is not None)
        return islice(in_turn, MOST_EXAMPLES)


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
