"""A batch without its padding: one stream of tokens, and where each of them stands in the padded grid.

What a BERT does to a token alone, nine tenths of its work, is done to the stream; only attention, where tokens
of a text meet, needs rows of one width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.tokenization import TokenIds
from models.window_encoder import PaddedBatch


@dataclass(frozen=True, slots=True)
class TokenStream:
    """``ids``, ``positions`` (in their window) and ``cells`` (in the flattened grid) of each token; ``grid``,
    of shape (rows, width), holds the index in the stream of each cell's token, row ``r`` that of ``lengths[r]``
    tokens and then of anything."""

    ids: TokenIds
    positions: TokenIds
    cells: TokenIds
    grid: TokenIds
    lengths: TokenIds

    @property
    def arrays(self) -> tuple[TokenIds, ...]:
        """In the order of a graph's inputs."""
        return self.ids, self.positions, self.cells, self.grid, self.lengths


def stream(batch: PaddedBatch, quantum: int = 1) -> TokenStream:
    """The batch's tokens, row after row.

    Tokens that belong to no text, and rows of one token that are copies of the first, bring the numbers of tokens
    and of cells to multiples of ``quantum``, as far as the width allows.
    """
    rows, width = batch.ids.shape
    real = np.arange(width) < batch.lengths[:, None]
    cells = np.flatnonzero(real).astype(np.int32)
    spare = -len(cells) % quantum
    spare_rows = -rows % max(1, quantum // width)
    grid = np.maximum(np.cumsum(real, dtype=np.int32).reshape(real.shape) - 1, 0)
    return TokenStream(
        np.pad(batch.ids[real], (0, spare)),
        np.pad(cells % width, (0, spare)),
        np.pad(cells, (0, spare)),
        np.pad(grid, ((0, spare_rows), (0, 0))),
        np.pad(batch.lengths, (0, spare_rows), constant_values=1),
    )
