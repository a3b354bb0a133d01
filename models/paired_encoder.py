"""Two views of a text as one vector, so that cosines are the weighted mean of both views' cosines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.protocol import Counts, Encoder, OnBatch, Vectors


class PairedEncoder:
    """Joins the unit vectors of two encoders, scaled by the roots of their shares; counts the first one's tokens.

    A text that is the zero vector in one view keeps the other view's part only, and is then shorter than 1.
    """

    def __init__(self, first: Encoder, second: Encoder, second_share: float) -> None:
        self._first = first
        self._second = second
        self._scales = np.sqrt(np.array([1 - second_share, second_share], np.float32))

    @property
    def dimension(self) -> int:
        return self._first.dimension + self._second.dimension

    def encode(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Vectors, Counts]:
        first, tokens = self._first.encode(texts, on_batch)
        second, _ = self._second.encode(texts)
        return np.concatenate([self._scales[0] * first, self._scales[1] * second], axis=1), tokens
