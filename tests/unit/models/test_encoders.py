"""What holds of every engine's vectors."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from models.engines.minilm import MiniLm
from models.protocol import Vectors
from models.registry import load_engine, load_token_counter
from tests.unit.models.conftest import AnyEngine
from tests.unit.models.sample_texts import ODD, ORDINARY


@pytest.fixture(scope="module")
def vectors(engine: AnyEngine) -> Vectors:
    return engine.encoder.encode(ORDINARY)[0]


@pytest.fixture(scope="module")
def texts_of_all_lengths() -> list[str]:
    words = " ".join(text for text in ORDINARY if len(text) < 200).split()
    return [" ".join(words[start % 50 :][:count]) for start, count in enumerate(range(1, 180))]


def test_vectors_are_finite_and_of_unit_length(engine: AnyEngine, vectors: Vectors) -> None:
    assert vectors.shape == (len(ORDINARY), engine.encoder.dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


def test_the_same_texts_give_the_same_bytes_again(engine: AnyEngine, vectors: Vectors) -> None:
    assert engine.encoder.encode(ORDINARY)[0].tobytes() == vectors.tobytes()


def test_an_engine_loaded_again_gives_the_same_bytes(engine: AnyEngine, vectors: Vectors) -> None:
    again = load_engine(engine.info.name)
    assert isinstance(again, AnyEngine)
    assert again.encoder.encode(ORDINARY)[0].tobytes() == vectors.tobytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(engine: AnyEngine, vectors: Vectors, threads: int) -> None:
    other = load_engine(engine.info.name, threads=threads)
    assert isinstance(other, AnyEngine)
    assert np.abs(other.encoder.encode(ORDINARY)[0] - vectors).max() < 1e-4


def test_order_changes_nothing(engine: AnyEngine, vectors: Vectors) -> None:
    backwards = engine.encoder.encode(ORDINARY[::-1])[0][::-1]
    assert np.abs(backwards - vectors).max() < 1e-4


def test_minilm_gives_a_text_the_same_bytes_in_whatever_batch(minilm: MiniLm, texts_of_all_lengths: list[str]) -> None:
    texts = texts_of_all_lengths
    together = minilm.encoder.encode(texts)[0]
    assert minilm.encoder.encode(texts[::-1])[0][::-1].tobytes() == together.tobytes()
    assert minilm.encoder.encode(texts[::3])[0].tobytes() == together[::3].tobytes()
    for text, vector in zip(texts[::40], together[::40], strict=True):
        assert minilm.encoder.encode([text])[0][0].tobytes() == vector.tobytes()


def test_a_text_alone_has_the_vector_it_has_among_others(engine: AnyEngine, vectors: Vectors) -> None:
    alone = np.concatenate([engine.encoder.encode([text])[0] for text in ORDINARY])
    assert np.abs(alone - vectors).max() < 1e-4


def test_padding_changes_nothing(engine: AnyEngine, vectors: Vectors) -> None:
    short = [text for text in ORDINARY if len(text) < 100]
    beside_long = engine.encoder.encode([text for s in short for text in (s, "long " * 230)])[0][::2]
    assert np.abs(beside_long - engine.encoder.encode(short)[0]).max() < 1e-4


def test_duplicate_texts_have_equal_vectors(engine: AnyEngine) -> None:
    many = engine.encoder.encode([ORDINARY[0]] * 300)[0]
    assert np.abs(many - many[0]).max() < 1e-4


def test_no_texts_give_no_vectors(engine: AnyEngine) -> None:
    vectors, tokens = engine.encoder.encode([])
    assert vectors.shape == (0, engine.encoder.dimension)
    assert tokens.shape == (0,)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_odd_texts_get_finite_vectors_and_the_counters_count(engine: AnyEngine, text: str) -> None:
    vectors, tokens = engine.encoder.encode([text])
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors) <= 1.001
    assert tokens.tolist() == load_token_counter(engine.info.name).count([text])


def test_odd_texts_do_not_disturb_their_neighbours(engine: AnyEngine, vectors: Vectors) -> None:
    short_odd = [text for text in ODD.values() if len(text) < 5_000]
    together = engine.encoder.encode([*short_odd, *ORDINARY])[0][len(short_odd) :]
    assert np.abs(together - vectors).max() < 1e-4


def test_a_text_of_100_000_characters_is_read_to_its_end(engine: AnyEngine) -> None:
    start = "The match was won in the last minute. " * 1_300
    end = "The invoice was charged twice. " * 1_600
    (whole, without_end), tokens = engine.encoder.encode([(start + end)[:100_000], start])
    assert tokens[0] > tokens[1] + 5_000
    about_invoices = engine.encoder.encode(["The invoice was charged twice."])[0][0]
    assert whole @ about_invoices > without_end @ about_invoices + 0.1


def test_unicode_normal_forms_are_read_alike(engine: AnyEngine) -> None:
    texts = ["Café, naïve, façade", "El envío nunca llegó", "über Öl"]
    composed = engine.encoder.encode([unicodedata.normalize("NFC", text) for text in texts])
    decomposed = engine.encoder.encode([unicodedata.normalize("NFD", text) for text in texts])
    assert np.array_equal(composed[0], decomposed[0])
    assert np.array_equal(composed[1], decomposed[1])


def test_progress_adds_up_to_all_texts_and_tokens(engine: AnyEngine) -> None:
    reports: list[tuple[int, int]] = []
    texts = [*ORDINARY, ODD["long text"], ""]
    _, tokens = engine.encoder.encode(texts, lambda done, read: reports.append((done, read)))
    assert sum(done for done, _ in reports) == len(texts)
    assert sum(read for _, read in reports) == tokens.sum()


def test_what_progress_raises_ends_the_work_and_the_engine_goes_on(engine: AnyEngine, vectors: Vectors) -> None:
    def cancel(done: int, read: int) -> None:
        raise InterruptedError("cancelled")

    with pytest.raises(InterruptedError, match="cancelled"):
        engine.encoder.encode(ORDINARY, cancel)
    assert engine.encoder.encode(ORDINARY)[0].tobytes() == vectors.tobytes()
