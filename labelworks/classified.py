"""Items beside their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, Protocol, Self, TypeVar

from labelworks.errors import InputError
from labelworks.inputs import item_lines, json_of
from labelworks.types import Batch, Result

ItemT = TypeVar("ItemT")
ItemT_co = TypeVar("ItemT_co", covariant=True)


class Frame(Protocol):
    """What is used of a pandas DataFrame."""

    @property
    def columns(self) -> Any: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def assign(self, **columns: Any) -> Self: ...


FrameT = TypeVar("FrameT", bound=Frame)


class Classified(Generic[ItemT_co]):
    """What went in and what came out: iterating gives (item, Result) in input order, as often as is wanted.

    Both are read from disk or from what the caller passed, so millions of them take no memory.
    """

    def __init__(
        self,
        batch: Batch,
        results_path: Path,
        items: Callable[[], Iterable[ItemT_co]],
        folder: TemporaryDirectory[str] | None = None,
    ) -> None:
        self.batch = batch
        self.results_path = results_path
        self._items = items
        # Temporary files live as long as what reads them.
        self._folder = folder

    def __iter__(self) -> Iterator[tuple[ItemT_co, Result]]:
        # A generator, which keeps self and so the temporary files until it is used up.
        yield from zip(self._items(), read_results(self.results_path), strict=True)

    def __repr__(self) -> str:
        return f"<Classified {self.batch.job_id}: {self.batch.requests_total:,} items>"


def read_results(path: Path) -> Iterator[Result]:
    """The results of a downloaded result file. An id of more digits than Python reads is a string."""
    with path.open("rb") as file:
        for line in item_lines(file):
            yield Result.from_json(json_of(line))


def is_frame(data: object) -> bool:
    """Whether this is a DataFrame, found out without importing pandas."""
    return hasattr(data, "columns") and hasattr(data, "assign")


def require_columns(frame: Frame, text_field: str, added: Sequence[str]) -> None:
    """Raises InputError unless one column has the texts and none is in the way of those that will be added."""
    names = list(frame.columns)
    if text_field not in names:
        raise InputError(f"The DataFrame has no column {text_field!r}; it has: {', '.join(map(str, names))}")
    if names.count(text_field) > 1:
        raise InputError(f"The DataFrame has {names.count(text_field)} columns {text_field!r}; rename all but one")
    taken = [name for name in added if name in names]
    if taken:
        raise InputError(f"The DataFrame already has a column {taken[0]!r}; pass prefix='predicted_' or another")


def joined_frame(frame: FrameT, results: Iterable[Result], columns: Sequence[str], *, multi: bool) -> FrameT:
    """The frame with the results as the given columns: labels, confidences, tokens, errors."""
    label, confidence, tokens, error = columns
    answers = list(results)
    scored: dict[str, list[Any]]
    if multi:
        scored = {
            label: [None if answer.error else [entry.label for entry in answer.labels] for answer in answers],
            confidence: [None if answer.error else [entry.confidence for entry in answer.labels] for answer in answers],
        }
    else:
        scored = {
            label: [answer.label for answer in answers],
            confidence: [answer.confidence for answer in answers],
        }
    return frame.assign(
        **scored,
        **{
            tokens: [answer.tokens for answer in answers],
            error: [answer.error.code if answer.error else None for answer in answers],
        },
    )
