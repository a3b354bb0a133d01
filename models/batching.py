"""Groups windows into length-sorted batches of a token budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.protocol import Counts


@dataclass(frozen=True, slots=True)
class PackedShapes:
    """Which shapes batches may have, for engines that leave padding out of most of their work.

    A batch has at most ``tokens`` tokens and at most ``cells`` with the padding to its width, a multiple of ``step``;
    both must be as long as the longest window.
    """

    tokens: int
    cells: int
    step: int

    def width(self, length: int) -> int:
        """The width of a batch whose longest window has this length."""
        return _round_up(length, self.step)

    def members(self, width: int, lengths: Counts) -> int:
        """How many of the windows of these lengths, the longest first, fit into a batch; at least one."""
        first = lengths[: max(1, self.cells // width)]
        return max(1, int(np.searchsorted(np.cumsum(first), self.tokens, side="right")))


@dataclass(frozen=True, slots=True)
class Batch:
    """Which windows go together: ``members`` are their indexes."""

    members: Counts
    width: int


def plan_batches(lengths: Counts, shapes: PackedShapes) -> Iterator[Batch]:
    """Every window once, longest first, equals in their order; a batch is as wide as its longest needs."""
    order = np.argsort(-lengths, kind="stable")
    descending = lengths[order]
    start = 0
    while start < len(order):
        width = shapes.width(int(descending[start]))
        members = shapes.members(width, descending[start:])
        yield Batch(order[start : start + members], width)
        start += members


def _round_up(length: int, step: int) -> int:
    return max(step, -(-length // step) * step)
