"""Texts through a torch model: tokenized in a thread beside the model's work, in batches of few fixed shapes.

A window of a text always computes in the shape of its own length, whatever texts are its neighbours, so that 16-bit
arithmetic rounds it alike in every job: which kernel multiplies a batch depends on the batch's shape.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from models.engines.torch_device import TorchDevice
from models.exceptions import ModelUnavailable
from models.lookahead import Waits, ahead
from models.protocol import Counts, OnBatch
from models.tokenization import TextTokenizer, TokenIds, cut_windows, portions
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

    def width(self, length: int) -> int:
        return self.widths[bisect_left(self.widths, length)]

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
class _Staged:
    """A batch in (pinned) main memory, and whose its rows are; ``weights`` are the text's tokens in each row."""

    tensors: tuple[Any, Any, Any]
    owners: Counts
    questions: Counts
    weights: Counts


_Row = tuple[TokenIds, int, int]
"""The text's ids, whose text it is, and the question's place."""


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
            places = (batch.owners, batch.questions)
            shares = np.maximum(batch.weights, 1).astype(np.float32)
            np.add.at(sums, places, answers[: len(batch.owners)] * shares[:, None])
            np.add.at(weights, places, shares)
            if on_batch is not None:
                np.subtract.at(unfinished, batch.owners, 1)
                touched = np.unique(batch.owners)
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
        buckets: dict[int, list[_Row]] = {width: [] for width in self._buckets.widths}
        first = 0
        for portion in portions(texts, CHARACTERS_AT_ONCE, TEXTS_AT_ONCE):
            ids, counts = self._tokenizer.ids(portion)
            tokens[first : first + len(portion)] = counts
            cut = [cut_windows(ids, counts, self._window - question.count) for question in questions]
            for windows in cut:
                unfinished[first : first + len(portion)] += np.bincount(windows.owners, minlength=len(portion))
            for place, (question, windows) in enumerate(zip(questions, cut, strict=True)):
                for start, length, owner in zip(
                    windows.starts.tolist(), windows.lengths.tolist(), windows.owners.tolist(), strict=True
                ):
                    width = self._buckets.width(length + question.count)
                    rows = buckets[width]
                    rows.append((ids[start : start + length], first + owner, place))
                    if len(rows) == self._buckets.rows(width):
                        yield self._stage(rows, width, questions)
                        buckets[width] = []
            first += len(portion)
        for width, rows in reversed(buckets.items()):
            if rows:
                yield self._stage(rows, width, questions)

    def _stage(self, rows: Sequence[_Row], width: int, questions: Sequence[SpecialTokens]) -> _Staged:
        count = self._buckets.rows(width) if self._buckets.filled else len(rows)
        ids = np.empty((count, width), np.int32)
        lengths, tails = np.empty(count, np.int32), np.empty(count, np.int32)
        for row, (text, _, place) in enumerate(rows):
            around = questions[place]
            start = len(around.before)
            end = start + len(text)
            lengths[row] = end + len(around.after)
            tails[row] = len(around.after)
            ids[row, :start] = around.before
            ids[row, start:end] = text
            ids[row, end : lengths[row]] = around.after
            ids[row, lengths[row] :] = around.padding
        for array in (ids, lengths, tails):
            array[len(rows) :] = array[0]
        return _Staged(
            (self._device.stage(ids), self._device.stage(lengths), self._device.stage(tails)),
            np.array([owner for _, owner, _ in rows]),
            np.array([place for _, _, place in rows]),
            np.array([len(text) for text, _, _ in rows]),
        )


def special_tokens(tokenizer: TextTokenizer, padding: int) -> SpecialTokens:
    """What the tokenizer puts before and after a text, found by giving it one."""
    around, inside = tokenizer.wrapped_ids("a"), tuple(tokenizer.ids(["a"])[0].tolist())
    for start in range(len(around) - len(inside) + 1):
        if around[start : start + len(inside)] == inside:
            return SpecialTokens(around[:start], around[start + len(inside) :], padding)
    raise ModelUnavailable("The tokenizer changes a text's tokens when it adds special ones; it cannot be used.")


def _arrived(batch: _Staged, answers: Any, arrived: Any) -> tuple[_Staged, Answers]:
    if arrived is not None:
        arrived.synchronize()
    return batch, cast(Answers, answers.numpy())
