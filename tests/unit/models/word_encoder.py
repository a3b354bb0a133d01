"""An encoder that needs no weights: texts that share words have near vectors."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from models.protocol import Counts, OnBatch, Vectors

DIMENSION = 64


class WordEncoder:
    """The normalised sum of one fixed random vector a word; counts the words."""

    dimension = DIMENSION

    def encode(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Vectors, Counts]:
        vectors = np.zeros((len(texts), DIMENSION), np.float32)
        counts = np.zeros(len(texts), np.int64)
        for row, text in enumerate(texts):
            words = re.findall(r"\w+", text.lower())
            for word in words:
                vectors[row] += np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIMENSION)
            counts[row] = len(words)
            if words:
                vectors[row] /= np.linalg.norm(vectors[row])
        return vectors, counts
