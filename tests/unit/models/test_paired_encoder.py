from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from models.paired_encoder import PairedEncoder
from models.protocol import Counts, OnBatch, Vectors
from tests.unit.models.word_encoder import DIMENSION, WordEncoder

TEXTS = ["one two three", "two three four", "", "five"]


class Backwards(WordEncoder):
    """Another view: words read from their end."""

    def encode(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Vectors, Counts]:
        vectors, counts = super().encode([text[::-1] for text in texts], on_batch)
        return vectors, counts + 100


def test_cosines_are_the_weighted_mean_of_both_views() -> None:
    vectors, _ = PairedEncoder(WordEncoder(), Backwards(), 0.2).encode(TEXTS)
    first, second = WordEncoder().encode(TEXTS)[0], Backwards().encode(TEXTS)[0]
    assert vectors @ vectors.T == pytest.approx(0.8 * first @ first.T + 0.2 * second @ second.T, abs=1e-6)


def test_dimensions_add_up_and_tokens_are_the_first_encoders() -> None:
    encoder = PairedEncoder(WordEncoder(), Backwards(), 0.2)
    vectors, tokens = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dimension) == (len(TEXTS), 2 * DIMENSION)
    assert vectors.dtype == np.float32
    assert tokens.tolist() == [3, 3, 0, 1]
