"""Groups windows into length-sorted batches of a fixed token budget, from a small fixed set of shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.protocol import Counts


@dataclass(frozen=True, slots=True)
class BatchShapes:
    """Which shapes batches may have.

    A width is a multiple of ``step``; a batch of width ``w`` always has ``budget // w`` rows (at least
    one), so the shapes are few and an engine that compiles a kernel for each keeps a flat memory.
    """

    budget: int
    step: int

    def width(self, length: int) -> int:
        return max(self.step, -(-length // self.step) * self.step)

    def rows(self, width: int) -> int:
        return max(1, self.budget // width)


@dataclass(frozen=True, slots=True)
class Batch:
    """Which windows go together: ``members`` are their indexes; rows beyond them are dummies."""

    members: Counts
    width: int
    rows: int


def plan_batches(lengths: Counts, shapes: BatchShapes) -> Iterator[Batch]:
    """Every window once, longest first, equals in their order; a batch is as wide as its longest needs."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        width = shapes.width(int(lengths[order[start]]))
        rows = shapes.rows(width)
        yield Batch(order[start : start + rows], width, rows)
        start += rows
