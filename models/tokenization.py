"""Texts to windows of token ids. Nothing is cut off: a text longer than the model's window becomes several
windows.

``tokens`` everywhere in this project are the text's own tokens; the special tokens that a model wraps
around each window are not counted, so the count depends neither on the window's size nor on the engine's
batching.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.normalizers import NFC, Lowercase
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import PreTokenizer

from models.protocol import Counts

TokenIds = npt.NDArray[np.int32]

CHARACTERS_AT_ONCE = 262_144
"""A tokenizer works in about 100 bytes a token; texts are handed to it in portions of this size."""
_LONG_WORD = 256
_NFC = NFC()


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of some texts, as flat arrays.

    Window ``w`` holds ``ids[starts[w] : starts[w] + lengths[w]]`` and belongs to text ``owners[w]``; owners
    ascend. ``tokens`` has one entry a text.
    """

    ids: TokenIds
    starts: Counts
    lengths: Counts
    owners: Counts
    tokens: Counts


class TextTokenizer:
    """A ``tokenizer.json`` with its padding and truncation switched off and no special tokens added.

    ``words``, where given, replaces the file's rule that cuts a text into words. ``literal``: special tokens that
    a text spells out, such as "[SEP]", are characters like any other. ``lowercase``: texts are made so before whatever
    else the file does to them.
    """

    def __init__(
        self, path: Path, words: PreTokenizer | None = None, *, literal: bool = False, lowercase: bool = False
    ) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.encode_special_tokens = literal
        if words is not None:
            self._tokenizer.pre_tokenizer = words
        if lowercase:
            present = self._tokenizer.normalizer
            self._tokenizer.normalizer = Normalizers([Lowercase(), *([present] if present else [])])
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def id_of(self, token: str) -> int | None:
        """The id of a token of the vocabulary."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def wrapped_ids(self, text: str, pair: str | None = None) -> tuple[int, ...]:
        """The tokens of a text, or a pair of texts, with the special ones around them."""
        return tuple(self._tokenizer.encode(text, pair).ids)

    def ids(self, texts: Sequence[str]) -> tuple[TokenIds, Counts]:
        """All token ids in one array, and how many of them each text has."""
        ids: list[TokenIds] = []
        counts: list[int] = []
        for portion in portions(texts, CHARACTERS_AT_ONCE):
            encodings = self._tokenizer.encode_batch_fast(portion, add_special_tokens=False)
            counts.extend(len(encoding) for encoding in encodings)
            ids.append(np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int32))
        return np.concatenate(ids) if ids else np.empty(0, np.int32), np.array(counts, np.int64)

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has."""
        counts: list[int] = []
        for portion in portions(texts, CHARACTERS_AT_ONCE):
            counts.extend(len(e) for e in self._tokenizer.encode_batch_fast(portion, add_special_tokens=False))
        return counts


def portions(texts: Sequence[str], characters: int, most: int | None = None) -> Iterator[list[str]]:
    """Runs of at most ``most`` texts and so many characters (or one longer text), in canonical Unicode."""
    portion: list[str] = []
    size = 0
    for text in texts:
        if portion and (size + len(text) > characters or len(portion) == most):
            yield portion
            portion, size = [], 0
        portion.append(canonical_unicode(text))
        size += len(text)
    if portion:
        yield portion


def canonical_unicode(text: str) -> str:
    """The text in Normalization Form C, so that texts that look the same are the same to every tokenizer.

    Surrogate pairs are joined, and lone surrogates, which no tokenizer takes, made U+FFFD.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    # Python leaves texts alone that need nothing done, at almost no cost, but takes seconds to sort the accents of a
    # hostile text: its time grows with the square of how many follow each other.
    if len(text) <= _LONG_WORD or max(map(len, text.split(" "))) <= _LONG_WORD:
        return unicodedata.normalize("NFC", text)
    normalized: str = _NFC.normalize_str(text)
    return normalized


def cut_windows(ids: TokenIds, tokens: Counts, capacity: int) -> Windows:
    """Windows of at most ``capacity`` tokens, those of one text within one token of the same length.

    Even lengths keep a text's last window from being a scrap that says little. A text without tokens has one
    empty window.
    """
    windows = np.maximum(1, -(-tokens // capacity))
    owners = np.repeat(np.arange(len(tokens)), windows)
    first = np.cumsum(windows) - windows
    place = np.arange(len(owners)) - first[owners]
    base, extra = np.divmod(tokens, windows)
    lengths = base[owners] + (place < extra[owners])
    starts = np.cumsum(lengths) - lengths
    return Windows(ids, starts, lengths, owners, tokens)


def pool_windows(vectors: npt.NDArray[np.float32], windows: Windows) -> npt.NDArray[np.float32]:
    """One unit-length vector a text: the mean of its windows' vectors, weighted by the tokens they hold."""
    texts = len(windows.tokens)
    if len(vectors) == texts:
        return vectors
    firsts = np.searchsorted(windows.owners, np.arange(texts))
    weights = np.maximum(windows.lengths, 1).astype(np.float32)[:, None]
    pooled: npt.NDArray[np.float32] = np.add.reduceat(vectors * weights, firsts, axis=0)
    alone = np.bincount(windows.owners, minlength=texts) == 1
    pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
    pooled[alone] = vectors[firsts[alone]]
    return pooled
