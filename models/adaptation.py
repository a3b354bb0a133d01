"""What an engine's vectors are multiplied by, so that they tell apart what users' texts differ in.

Made by ``python -m benchmarks.fit_adaptation`` from public texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from models.protocol import Counts, Encoder, OnBatch, Vectors

FILE = "adaptation.json"
Floats = npt.NDArray[np.float64]
Rows = TypeVar("Rows", Vectors, Floats)


@dataclass(frozen=True, slots=True)
class Adaptation:
    """The matrix 1 + left.T @ right; both factors have the shape (rank, dimension)."""

    left: Floats
    right: Floats

    @classmethod
    def read(cls, engine: str) -> Adaptation:
        """The one that is shipped for an engine's vectors. Raises KeyError."""
        entry = _shipped()[engine]
        return cls(np.array(entry["left"]), np.array(entry["right"]))

    def applied(self, rows: Rows) -> Rows:
        """Rows times the matrix, in their own precision; their lengths change."""
        return rows + (rows @ self.left.T.astype(rows.dtype)) @ self.right.astype(rows.dtype)


class AdaptedEncoder:
    """An Encoder whose vectors are another one's, adapted.

    Double precision, rounded at the end, keeps a text's vector the same whatever texts are beside it.
    """

    def __init__(self, encoder: Encoder, adaptation: Adaptation) -> None:
        self._encoder = encoder
        self._adaptation = adaptation

    @property
    def dimension(self) -> int:
        return self._encoder.dimension

    def encode(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Vectors, Counts]:
        vectors, tokens = self._encoder.encode(texts, on_batch)
        adapted = self._adaptation.applied(vectors.astype(np.float64))
        lengths = np.linalg.norm(adapted, axis=1, keepdims=True)
        return (adapted / np.maximum(lengths, 1e-12)).astype(np.float32), tokens


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    shipped: dict[str, dict[str, Any]] = json.loads(files("models").joinpath(FILE).read_text("utf-8"))
    return shipped
