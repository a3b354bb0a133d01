"""Groups windows into length-sorted batches of a token budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.protocol import Counts


class Shapes(Protocol):
    """Which shapes batches may have."""

    def width(self, length: int) -> int:
        """The width of a batch whose longest window has this length."""
        ...

    def members(self, width: int, lengths: Counts) -> int:
        """How many of the windows of these lengths, the longest first, fit into a batch; at least one."""
        ...

    def rows(self, width: int, members: int) -> int: ...


@dataclass(frozen=True, slots=True)
class BatchShapes:
    """Shapes for engines that work on padding as on tokens.

    A width is a multiple of ``step``; a batch of width ``w`` always has ``budget // w`` rows (at least
    one), so the shapes are few and an engine that compiles a kernel for each keeps a flat memory.
    """

    budget: int
    step: int

    def width(self, length: int) -> int:
        return _round_up(length, self.step)

    def members(self, width: int, lengths: Counts) -> int:
        return min(len(lengths), self.rows(width))

    def rows(self, width: int, members: int = 1) -> int:
        return max(1, self.budget // width)


@dataclass(frozen=True, slots=True)
class PackedShapes:
    """Shapes for engines that leave padding out of most of their work.

    A batch has at most ``tokens`` tokens, at most ``cells`` with the padding to its width, a multiple of ``step``,
    and a row for each member; both must be as long as the longest window.
    """

    tokens: int
    cells: int
    step: int

    def width(self, length: int) -> int:
        return _round_up(length, self.step)

    def members(self, width: int, lengths: Counts) -> int:
        first = lengths[: max(1, self.cells // width)]
        return max(1, int(np.searchsorted(np.cumsum(first), self.tokens, side="right")))

    def rows(self, width: int, members: int) -> int:
        return members


@dataclass(frozen=True, slots=True)
class Batch:
    """Which windows go together: ``members`` are their indexes; rows beyond them are dummies."""

    members: Counts
    width: int
    rows: int


def plan_batches(lengths: Counts, shapes: Shapes) -> Iterator[Batch]:
    """Every window once, longest first, equals in their order; a batch is as wide as its longest needs."""
    order = np.argsort(-lengths, kind="stable")
    descending = lengths[order]
    start = 0
    while start < len(order):
        width = shapes.width(int(descending[start]))
        members = shapes.members(width, descending[start:])
        yield Batch(order[start : start + members], width, shapes.rows(width, members))
        start += members


def _round_up(length: int, step: int) -> int:
    return max(step, -(-length // step) * step)
