from __future__ import annotations

import numpy as np

from models.adaptation import Adaptation
from models.engines.static import Static, load_plain
from models.scoring_prompts import unit
from tests.unit.models.golden import read_golden


def test_vectors_are_those_of_the_reference_implementation() -> None:
    texts, golden = read_golden("static")
    assert (load_plain(1, None).encoder.encode(texts)[0] * golden).sum(axis=1).min() >= 0.9999


def test_embeddings_are_adapted_as_vectors_are(static: Static) -> None:
    texts, golden = read_golden("static")
    adapted = unit(Adaptation.read("static").applied(golden))
    assert (static.encoder.encode(texts)[0] * adapted).sum(axis=1).min() >= 0.9999


def test_a_text_without_tokens_says_nothing(static: Static) -> None:
    vectors, tokens = static.encoder.encode(["", "word", ""])
    assert tokens.tolist() == [0, 1, 0]
    assert np.linalg.norm(vectors, axis=1).round(4).tolist() == [0, 1, 0]
