from __future__ import annotations

import numpy as np
import pytest

from models.adaptation import Adaptation, AdaptedEncoder
from tests.unit.models.word_encoder import DIMENSION, WordEncoder

TEXTS = ["one two three", "", "five"]


@pytest.fixture
def adaptation() -> Adaptation:
    random = np.random.default_rng(0)
    return Adaptation(random.normal(size=(2, DIMENSION)), random.normal(size=(2, DIMENSION)))


def test_rows_are_multiplied_by_one_and_a_product_of_low_rank(adaptation: Adaptation) -> None:
    rows = np.random.default_rng(1).normal(size=(5, DIMENSION))
    matrix = np.eye(DIMENSION) + adaptation.left.T @ adaptation.right
    assert adaptation.applied(rows) == pytest.approx(rows @ matrix)


def test_rows_keep_their_precision(adaptation: Adaptation) -> None:
    assert adaptation.applied(np.ones((1, DIMENSION), np.float32)).dtype == np.float32


def test_adapted_vectors_are_of_unit_length_and_those_of_no_words_stay_zero(adaptation: Adaptation) -> None:
    plain = WordEncoder()
    vectors, tokens = AdaptedEncoder(plain, adaptation).encode(TEXTS)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 1])
    assert tokens.tolist() == plain.encode(TEXTS)[1].tolist()
    assert not np.allclose(vectors[0], plain.encode(TEXTS)[0][0], atol=0.01)


def test_what_is_shipped_changes_vectors_but_does_not_replace_them() -> None:
    for engine, dimension in (("minilm", 384), ("static", 256)):
        rows = np.random.default_rng(2).normal(size=(50, dimension))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        adapted = Adaptation.read(engine).applied(rows)
        cosines = (rows * adapted).sum(axis=1) / np.linalg.norm(adapted, axis=1)
        assert 0.9 < cosines.mean() < 0.999
