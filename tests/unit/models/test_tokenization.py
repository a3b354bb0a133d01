from __future__ import annotations

import unicodedata
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.engines.static import TOKENIZER, WEIGHTS
from models.registry import load_token_counter
from models.tokenization import TextTokenizer, canonical_unicode, cut_windows, pool_windows, portions
from models.weights import locate
from tests.unit.models.sample_texts import ODD, ORDINARY

some_tokens = st.lists(st.integers(0, 2_000), min_size=1, max_size=30)
any_text = st.text(st.characters(codec=None, categories=None), max_size=60)


@given(some_tokens, st.integers(1, 300))
def test_windows_hold_every_token_once_and_in_order(counts: list[int], capacity: int) -> None:
    tokens = np.array(counts, np.int64)
    ids = np.arange(tokens.sum(), dtype=np.int32)
    windows = cut_windows(ids, tokens, capacity)
    joined = [windows.ids[s : s + n].tolist() for s, n in zip(windows.starts, windows.lengths, strict=True)]
    assert [i for part in joined for i in part] == ids.tolist()
    assert np.bincount(windows.owners, weights=windows.lengths, minlength=len(counts)).tolist() == counts


@given(some_tokens, st.integers(1, 300))
def test_windows_fit_and_those_of_a_text_are_even(counts: list[int], capacity: int) -> None:
    tokens = np.array(counts, np.int64)
    windows = cut_windows(np.zeros(tokens.sum(), np.int32), tokens, capacity)
    assert windows.lengths.max() <= capacity
    for text, count in enumerate(counts):
        own = windows.lengths[windows.owners == text]
        assert len(own) == max(1, -(-count // capacity))
        assert own.max() - own.min() <= 1


def test_a_text_of_one_window_keeps_its_vector_unchanged() -> None:
    windows = cut_windows(np.zeros(13, np.int32), np.array([3, 10]), 5)
    vectors = np.array([[0.6, 0.8], [1, 0], [0, 1]], np.float32)
    pooled = pool_windows(vectors, windows)
    assert np.array_equal(pooled[0], vectors[0])
    assert np.allclose(pooled[1], np.sqrt([0.5, 0.5]))


def test_pooling_weighs_windows_by_their_tokens() -> None:
    windows = cut_windows(np.zeros(5, np.int32), np.array([5]), 3)
    pooled = pool_windows(np.array([[1, 0], [0, 1]], np.float32), windows)
    assert np.allclose(pooled, np.array([[3, 2]]) / np.sqrt(13))


@given(st.lists(any_text, max_size=20), st.integers(1, 50), st.integers(1, 5))
def test_portions_keep_every_text_in_order(texts: list[str], characters: int, most: int) -> None:
    parts = list(portions(texts, characters, most))
    assert [text for part in parts for text in part] == [canonical_unicode(text) for text in texts]
    assert all(1 <= len(part) <= most for part in parts)


@given(any_text)
def test_canonical_unicode_can_always_be_encoded(text: str) -> None:
    canonical_unicode(text).encode()


@given(st.text())
def test_canonical_unicode_of_a_valid_text_is_its_form_c(text: str) -> None:
    assert canonical_unicode(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("text", ["e\u0301" * 500, "\u1112\u1161\u11ab" * 300, "o\u0323\u0302 \u212b" * 300])
def test_canonical_unicode_of_a_long_word_is_its_form_c(text: str) -> None:
    assert canonical_unicode(text) == unicodedata.normalize("NFC", text)


def test_accents_piled_up_by_the_hundred_thousand_are_put_in_order() -> None:
    # Python's own normalization works on this one for a quarter of a minute.
    canonical = canonical_unicode("a" + "\u0301\u0327" * 50_000)
    assert canonical == "\u00e1" + "\u0327" * 50_000 + "\u0301" * 49_999


def test_a_surrogate_pair_becomes_the_character_it_stands_for() -> None:
    assert canonical_unicode("\ud83d\ude00") == "😀"


@pytest.mark.parametrize("name", ["minilm", "static"])
@given(st.lists(any_text, max_size=8))
def test_counting_one_by_one_or_together_is_the_same(name: str, texts: list[str]) -> None:
    counter = load_token_counter(name)
    assert counter.count(texts) == [counter.count([text])[0] for text in texts]


def test_special_tokens_are_not_counted_and_nothing_is_cut() -> None:
    counter = load_token_counter("minilm")
    assert counter.count(["", "hello", "word " * 20_000]) == [0, 1, 20_000]


@pytest.mark.parametrize("name", ["minilm", "static", "blend"])
@pytest.mark.parametrize("form", ["NFD", "NFKD"])
def test_normal_forms_of_a_text_count_alike(name: str, form: Literal["NFD", "NFKD"]) -> None:
    texts = ["Café, naïve, façade", "El envío nunca llegó", "über Öl", "한국어 문장", "Việt Nam"]
    counter = load_token_counter(name)
    assert counter.count([unicodedata.normalize(form, text) for text in texts]) == counter.count(texts)


@pytest.mark.parametrize("name", ["minilm", "static", "blend"])
@pytest.mark.parametrize("spelt_out", ["[SEP]", "[PAD]", "[CLS]", "[MASK]", "[UNK]", "<s>", "</s>", "<unk>"])
def test_special_tokens_that_a_text_spells_out_are_characters_like_any_other(name: str, spelt_out: str) -> None:
    counter = load_token_counter(name)
    (alone,) = counter.count([spelt_out])
    assert alone > 1


def test_the_static_tokenizer_gives_the_tokens_of_the_published_one() -> None:
    path = locate(WEIGHTS, None, (TOKENIZER,))[TOKENIZER]
    published = TextTokenizer(path, literal=True)
    texts = [*ORDINARY, *(text for text in ODD.values() if len(text) < 5_000), "  two  spaces", "▁ ▁▁a▁"]
    assert load_token_counter("static").count(texts) == published.count(texts)
