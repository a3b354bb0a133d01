"""Texts through a torch model: tokenized in a thread beside the model's work, in batches of few fixed shapes.

A window of a text always computes in the shape of its own length, whatever texts are its neighbours, so that 16-bit
arithmetic rounds it alike in every job: which kernel multiplies a batch depends on the batch's shape.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from models.exceptions import ModelUnavailable
from models.lookahead import Waits, ahead
from models.on_torch.device import TorchDevice
from models.protocol import Counts, OnBatch
from models.tokenization import TextTokenizer, TokenIds, Windows, cut_windows, portions
from models.window_encoder import SpecialTokens

Answers = npt.NDArray[np.float32]
IN_FLIGHT = 4
"""Batches handed to the device before the first answer is fetched, so that a GPU never waits for Python."""
AHEAD = 2 * IN_FLIGHT
TEXTS_AT_ONCE = 512
CHARACTERS_AT_ONCE = 262_144
_BUDGETS = {"cuda": 16_384, "cpu": 1_024}
_WIDTHS = tuple(base << power for power in range(13) for base in (16, 24))
"""Half as wide again and twice as wide: a row's padding is a fifth of it on average."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """The shapes that batches have: ``widths`` ascend, and a batch has as many rows as its budget of tokens holds,
    each with its width and the ``beside`` tokens that the model keeps of something else for it.

    ``filled``: a batch that is short of rows is filled with copies of its first, so that its shape stays the same.
    """

    widths: tuple[int, ...]
    budget: int
    filled: bool
    beside: int = 0

    @classmethod
    def up_to(cls, window: int, device: TorchDevice, around: int = 0) -> Buckets:
        """For rows of at most ``window`` tokens, at least ``around`` of which are not the text's. Exact shapes matter
        where arithmetic has 16 bits, on a GPU."""
        widths = (*(around + width for width in _WIDTHS if around + width < window), window)
        return cls(widths, _BUDGETS[device.name], filled=device.name == "cuda")

    @classmethod
    def exact(cls, window: int, device: TorchDevice) -> Buckets:
        """No row is ever padded: for a model whose answer depends on the padding."""
        return cls(tuple(range(1, window + 1)), _BUDGETS[device.name], filled=False)

    def by_width(self, lengths: Counts) -> Iterator[tuple[int, Counts]]:
        """The widths that rows of these lengths have, each with the places of its rows."""
        found = np.searchsorted(self.widths, lengths)
        for each in np.unique(found):
            yield self.widths[each], np.flatnonzero(found == each)

    def rows(self, width: int) -> int:
        return max(1, self.budget // (self.beside + width))


@dataclass(frozen=True, slots=True)
class RowBatch:
    """What a model reads, as tensors on its device: ``ids`` of shape (rows, width); row ``r`` has ``lengths[r]``
    tokens that count, the last ``tails[r]`` of which come after the text."""

    ids: Any
    lengths: Any
    tails: Any

    def mask(self) -> Any:
        """True where a token counts."""
        import torch

        return torch.arange(self.ids.shape[1], device=self.ids.device)[None] < self.lengths[:, None]


Forward = Callable[[RowBatch], Any]
"""From a batch to a tensor of shape (rows, outputs), in 32-bit floats; called in inference mode."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of one width: ``ids`` of shape (rows, width), of which row ``r`` has ``lengths[r]`` that count, the last
    ``tails[r]`` of them after the text; ``owners`` and ``questions`` tell what is read in them, and ``weights`` the
    text's tokens in each.
    """

    ids: TokenIds
    lengths: TokenIds
    tails: TokenIds
    owners: Counts
    questions: Counts
    weights: Counts

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, end: int | None = None) -> _Rows:
        return _Rows(*(array[start:end] for array in self._arrays))

    @classmethod
    def joined(cls, parts: Sequence[_Rows]) -> _Rows:
        return cls(*(np.concatenate(arrays) for arrays in zip(*(rows._arrays for rows in parts), strict=True)))

    @property
    def _arrays(self) -> tuple[npt.NDArray[Any], ...]:
        return self.ids, self.lengths, self.tails, self.owners, self.questions, self.weights


@dataclass(frozen=True, slots=True)
class _Staged:
    """A batch in (pinned) main memory, and what its rows are. ``repeats``: two of them are windows of one text, asked
    the same question."""

    tensors: tuple[Any, Any, Any]
    rows: _Rows
    repeats: bool


class TextStream:
    """Reads texts in rows of at most ``window`` tokens, each between the tokens of a question put to it.

    ``waits`` adds up how long the device had nothing to do because no batch was tokenized.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        forward: Forward,
        device: TorchDevice,
        window: int,
        buckets: Buckets,
        waits: Waits,
    ) -> None:
        self._tokenizer = tokenizer
        self._forward = forward
        self._device = device
        self._window = window
        self._buckets = buckets
        self._waits = waits

    def read(
        self, texts: Sequence[str], questions: Sequence[SpecialTokens], on_batch: OnBatch | None = None
    ) -> tuple[Answers, Counts]:
        """Answers of shape (texts, questions, outputs), and the texts' tokens.

        A text that is longer than the window answers with the mean of its windows, weighted by their tokens.
        """
        tokens = np.zeros(len(texts), np.int64)
        unfinished = np.zeros(len(texts), np.int64)
        sums: Answers | None = None
        weights = np.zeros((len(texts), len(questions)), np.float32)
        staged = ahead(self._staged(texts, questions, tokens, unfinished), AHEAD, self._waits)
        for batch, answers in self._answered(staged):
            if sums is None:
                sums = np.zeros((len(texts), len(questions), answers.shape[1]), np.float32)
            rows = batch.rows
            places = (rows.owners, rows.questions)
            shares = np.maximum(rows.weights, 1).astype(np.float32)
            weighted = answers[: len(rows)] * shares[:, None]
            if batch.repeats:
                np.add.at(sums, places, weighted)
                np.add.at(weights, places, shares)
            else:
                # A tenth of the time, in which a fast model would wait.
                sums[places] += weighted
                weights[places] += shares
            if on_batch is not None:
                np.subtract.at(unfinished, rows.owners, 1)
                touched = np.unique(rows.owners)
                finished = touched[unfinished[touched] == 0]
                on_batch(len(finished), int(tokens[finished].sum()))
        if sums is None:
            return np.zeros((0, len(questions), 0), np.float32), tokens
        return sums / weights[:, :, None], tokens

    def _answered(self, batches: Iterable[_Staged]) -> Iterator[tuple[_Staged, Answers]]:
        """Each batch with its answers; copies to and from a GPU run beside its work on other batches."""
        import torch

        waiting: deque[tuple[_Staged, Any, Any]] = deque()
        for batch in batches:
            with torch.inference_mode():
                sent = RowBatch(*(self._device.send(tensor) for tensor in batch.tensors))
                waiting.append((batch, *self._device.fetch(self._forward(sent))))
            if len(waiting) == IN_FLIGHT:
                yield _arrived(*waiting.popleft())
        while waiting:
            yield _arrived(*waiting.popleft())

    def _staged(
        self, texts: Sequence[str], questions: Sequence[SpecialTokens], tokens: Counts, unfinished: Counts
    ) -> Iterator[_Staged]:
        """Fills in ``tokens`` and ``unfinished`` (a text's rows) before a text's first row is handed out."""
        waiting: dict[int, list[_Rows]] = {width: [] for width in self._buckets.widths}
        first = 0
        for portion in portions(texts, CHARACTERS_AT_ONCE, TEXTS_AT_ONCE):
            ids, counts = self._tokenizer.ids(portion)
            tokens[first : first + len(portion)] = counts
            cut = [cut_windows(ids, counts, self._window - question.count) for question in questions]
            for windows in cut:
                unfinished[first : first + len(portion)] += np.bincount(windows.owners, minlength=len(portion))
            for place, (question, windows) in enumerate(zip(questions, cut, strict=True)):
                for width, chosen in self._buckets.by_width(windows.lengths + question.count):
                    full = self._buckets.rows(width)
                    for start in range(0, len(chosen), full):
                        some = chosen[start : start + full]
                        waiting[width].append(_rows(windows, some, width, question, place, first))
                        if sum(map(len, waiting[width])) >= full:
                            rows = _Rows.joined(waiting[width])
                            yield self._stage(rows.part(0, full), width)
                            waiting[width] = [rows.part(full)] if len(rows) > full else []
            first += len(portion)
        for width, parts in reversed(waiting.items()):
            if parts:
                yield self._stage(_Rows.joined(parts), width)

    def _stage(self, rows: _Rows, width: int) -> _Staged:
        missing = self._buckets.rows(width) - len(rows) if self._buckets.filled else 0
        read = (rows.ids, rows.lengths, rows.tails)
        if missing:
            ids, lengths, tails = (np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) for array in read)
            read = ids, lengths, tails
        ids, lengths, tails = (self._device.stage(array) for array in read)
        pairs = np.stack([rows.owners, rows.questions])
        return _Staged((ids, lengths, tails), rows, repeats=np.unique(pairs, axis=1).shape[1] < len(rows))


def special_tokens(tokenizer: TextTokenizer, padding: int, pair: str | None = None) -> SpecialTokens:
    """What the tokenizer puts before and after a text, found by giving it one; after it the tokens of ``pair`` too.

    Raises ModelUnavailable where it does not leave the text's own tokens as they are.
    """
    around, inside = tokenizer.wrapped_ids("a", pair), tuple(tokenizer.ids(["a"])[0].tolist())
    for start in range(len(around) - len(inside) + 1):
        if around[start : start + len(inside)] == inside:
            return SpecialTokens(around[:start], around[start + len(inside) :], padding)
    raise ModelUnavailable("The tokenizer changes a text's tokens when it adds special ones; it cannot be used.")


def _rows(windows: Windows, chosen: Counts, width: int, question: SpecialTokens, place: int, first: int) -> _Rows:
    """The ``chosen`` windows between the question's tokens; ``first`` is the number of the portion's first text."""
    before, after = len(question.before), len(question.after)
    starts, weights = windows.starts[chosen], windows.lengths[chosen]
    ends = (before + weights)[:, None]
    cells = np.arange(width)
    ids = np.full((len(chosen), width), question.padding, np.int32)
    ids[:, :before] = question.before
    text = (cells >= before) & (cells < ends)
    ids[text] = windows.ids[(starts[:, None] + cells - before)[text]]
    if after:
        ids[np.arange(len(chosen))[:, None], ends + np.arange(after)] = question.after
    return _Rows(
        ids,
        (before + weights + after).astype(np.int32),
        np.full(len(chosen), after, np.int32),
        windows.owners[chosen] + first,
        np.full(len(chosen), place, np.int64),
        weights,
    )


def _arrived(batch: _Staged, answers: Any, arrived: Any) -> tuple[_Staged, Answers]:
    if arrived is not None:
        arrived.synchronize()
    return batch, cast(Answers, answers.numpy())
