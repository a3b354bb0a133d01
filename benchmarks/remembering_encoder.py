"""An encoder that encodes a text once, for measuring many tasks on the same texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.protocol import Counts, Encoder, OnBatch, Vectors


class RememberingEncoder:
    """Wraps an encoder whose vectors do not depend on the other texts; keeps all it ever encoded."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, tuple[Vectors, int]] = {}

    @property
    def dimension(self) -> int:
        return self._encoder.dimension

    def encode(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Vectors, Counts]:
        fresh = list(dict.fromkeys(text for text in texts if text not in self._known))
        if fresh:
            vectors, tokens = self._encoder.encode(fresh, on_batch)
            self._known.update(zip(fresh, zip(vectors, (int(t) for t in tokens), strict=True), strict=True))
        rows = [self._known[text] for text in texts]
        vectors = np.stack([row for row, _ in rows]) if rows else np.zeros((0, self.dimension), np.float32)
        return vectors, np.array([count for _, count in rows], np.int64)
