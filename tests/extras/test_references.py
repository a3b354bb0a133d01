"""The default engines against the implementations they replace, run here and now."""

from __future__ import annotations

from models.engines import minilm, static
from tests.extras.record_golden import sentence_transformers_vectors, wordllama_vectors
from tests.unit.models.golden import golden_texts


def test_minilm_agrees_with_sentence_transformers() -> None:
    engine = minilm.load_plain(None, None)
    texts = golden_texts()
    assert (engine.encoder.encode(texts)[0] * sentence_transformers_vectors(texts)).sum(axis=1).mean() >= 0.995


def test_static_agrees_with_wordllama() -> None:
    engine = static.load_plain(None, None)
    texts = golden_texts()
    assert (engine.encoder.encode(texts)[0] * wordllama_vectors(texts)).sum(axis=1).min() >= 0.9999
