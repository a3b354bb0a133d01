"""The engine ``embedding`` against sentence-transformers' own ``encode()``, on what its configuration may say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedTokenizerFast

from models.engines.embedding import Embedding, ModelFolder, load, load_token_counter
from models.exceptions import ModelUnavailable
from models.protocol import Vectors
from tests.extras.tiny_models import WINDOW, save_tiny_bert

TEXTS = ["The Match was WON", "ÉCOLE à Paris", "İstanbul", "a", "all in lower case", ""]


def save_model(folder: Path, told: dict[str, Any], *, name: str = "bert", most: int | None = None) -> Path:
    """A cased model with all files that sentence-transformers reads; ``told`` is its encoder's configuration."""
    save_tiny_bert(folder, cased=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    if most is not None:
        tokenizer.model_max_length = most
    tokenizer.save_pretrained(folder)
    (folder / f"sentence_{name}_config.json").write_text(json.dumps(told))
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
    )
    return folder


def ours(folder: Path) -> Embedding:
    return load(threads=1, weights=str(folder))


def theirs(folder: Path, texts: list[str]) -> Vectors:
    vectors: Vectors = SentenceTransformer(str(folder), device="cpu").encode(texts)
    return vectors


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_texts_are_made_lower_case_where_the_model_asks_for_it(tmp_path: Path, lowercase: bool, name: str) -> None:
    folder = save_model(tmp_path, {"do_lower_case": lowercase, "max_seq_length": 48}, name=name)
    vectors, tokens = ours(folder).encoder.encode(TEXTS)
    assert np.allclose(vectors, theirs(folder, TEXTS), atol=1e-4)
    # A word with a capital is one unknown token to a model that is not told to change it.
    assert tokens.tolist() == load_token_counter(str(folder)).count(TEXTS)
    assert tokens[0] == (14 if lowercase else 6)


@pytest.mark.parametrize(
    ("told", "most", "window"),
    [
        ({"max_seq_length": 16}, None, 16),
        ({"max_seq_length": 16}, 24, 16),
        ({"max_seq_length": None}, 24, 24),
        ({}, 24, 24),
        ({}, 512, WINDOW),
        ({}, None, WINDOW),
        ({"max_seq_length": 16, "tokenizer_args": {"model_max_length": 20}}, None, 20),
        ({"max_seq_length": 16, "processor_kwargs": {"model_max_length": 20}}, None, 20),
    ],
)
def test_the_window_is_what_sentence_transformers_reads(
    tmp_path: Path, told: dict[str, Any], most: int | None, window: int
) -> None:
    folder = save_model(tmp_path, told, most=most)
    assert ModelFolder.read(folder).window == window == SentenceTransformer(str(folder), device="cpu").max_seq_length


def test_what_is_longer_than_the_window_is_read_in_parts_of_it(tmp_path: Path) -> None:
    folder = save_model(tmp_path, {"max_seq_length": 16})
    fits, first, second = "abcdefghijklmn", "abcdefghij", "klmnopqrst"
    vectors, _ = ours(folder).encoder.encode([fits, f"{first} {second}"])
    expected = theirs(folder, [fits, first, second])
    pooled = expected[1] + expected[2]
    assert np.allclose(vectors[0], expected[0], atol=1e-4)
    assert np.allclose(vectors[1], pooled / np.linalg.norm(pooled), atol=1e-4)


def test_a_window_without_room_for_a_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"reads 2 tokens at once \(max_seq_length\)"):
        ours(save_model(tmp_path, {"max_seq_length": 2}))
