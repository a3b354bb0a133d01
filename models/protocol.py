"""The seams between engines, label scoring and the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from models.task import ClassificationTask, Prediction

Vectors = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]
OnBatch = Callable[[int, int], None]
"""Called after each batch with the texts and tokens it held; what it raises ends the work."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is called and what it computes on."""

    name: str
    device: Literal["cpu", "cuda"]


class Encoder(Protocol):
    """Texts in, unit-length vectors and token counts out."""

    @property
    def dimension(self) -> int: ...

    def encode(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Vectors, Counts]:
        """Vectors of shape (len(texts), dimension), float32, L2-normalised, in input order, and token counts."""
        ...


class TokenCounter(Protocol):
    """Counts tokens as the engine of the same name does, without loading its weights."""

    def count(self, texts: Sequence[str]) -> list[int]: ...


class Classifier(Protocol):
    """An engine bound to one task."""

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        """One prediction a text, in input order; a text's answer never depends on the other texts."""
        ...


class Engine(Protocol):
    """Loaded weights, ready to be bound to any number of tasks."""

    @property
    def info(self) -> EngineInfo: ...

    def bind(self, task: ClassificationTask) -> Classifier: ...
