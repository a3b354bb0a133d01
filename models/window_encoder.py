"""Texts to vectors through any model that reads batches of windows: tokenize, batch, run, pool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.batching import Batch, PackedShapes, plan_batches
from models.protocol import Counts, OnBatch, Vectors
from models.tokenization import TextTokenizer, TokenIds, Windows, cut_windows, pool_windows


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The ids a model wants before, after and as padding of a window."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    padding: int

    @property
    def count(self) -> int:
        return len(self.before) + len(self.after)


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """``ids`` of shape (rows, width); row ``r`` has ``lengths[r]`` tokens that count, the rest is padding."""

    ids: TokenIds
    lengths: TokenIds


class BatchRunner(Protocol):
    """Runs a model; it may work on several batches at a time but answers in their order."""

    @property
    def dimension(self) -> int: ...

    def run(self, batches: Iterable[PaddedBatch]) -> Iterator[Vectors]:
        """Unit-length vectors of shape (rows, dimension), one array a batch."""
        ...


class WindowEncoder:
    """An Encoder whose ``window`` is the most tokens, special ones included, that the model reads at once."""

    def __init__(
        self,
        tokenizer: TextTokenizer,
        runner: BatchRunner,
        special: SpecialTokens,
        window: int,
        shapes: PackedShapes,
    ) -> None:
        self._tokenizer = tokenizer
        self._runner = runner
        self._special = special
        self._capacity = window - special.count
        self._shapes = shapes

    @property
    def dimension(self) -> int:
        return self._runner.dimension

    def encode(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Vectors, Counts]:
        ids, tokens = self._tokenizer.ids(texts)
        windows = cut_windows(ids, tokens, self._capacity)
        batches = list(plan_batches(windows.lengths + self._special.count, self._shapes))
        vectors = np.empty((len(windows.lengths), self.dimension), np.float32)
        unfinished = np.bincount(windows.owners, minlength=len(texts))
        inputs = (padded(windows, batch, self._special) for batch in batches)
        for batch, answer in zip(batches, self._runner.run(inputs), strict=True):
            vectors[batch.members] = answer
            if on_batch is not None:
                owners = windows.owners[batch.members]
                np.subtract.at(unfinished, owners, 1)
                finished = int(np.count_nonzero(unfinished[np.unique(owners)] == 0))
                on_batch(finished, int(windows.lengths[batch.members].sum()))
        return pool_windows(vectors, windows), tokens


def padded(windows: Windows, batch: Batch, special: SpecialTokens) -> PaddedBatch:
    """The batch's windows with the special tokens around them."""
    before, after = special.before, special.after
    ids = np.full((len(batch.members), batch.width), special.padding, np.int32)
    ids[:, : len(before)] = before
    lengths = np.empty(len(batch.members), np.int32)
    for row, member in enumerate(batch.members):
        start, length = windows.starts[member], windows.lengths[member]
        end = len(before) + length
        ids[row, len(before) : end] = windows.ids[start : start + length]
        ids[row, end : end + len(after)] = after
        lengths[row] = end + len(after)
    return PaddedBatch(ids, lengths)
