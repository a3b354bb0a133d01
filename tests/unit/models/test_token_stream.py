from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.bert.token_stream import TokenStream, stream
from models.window_encoder import PaddedBatch

lengths_and_width = st.lists(st.integers(1, 40), min_size=1, max_size=30).flatmap(
    lambda lengths: st.tuples(st.just(lengths), st.integers(max(lengths), 64))
)
quanta = st.sampled_from([1, 16, 256])


def padded_batch(lengths: list[int], width: int) -> PaddedBatch:
    """Every token has an id of its own; padding is -1."""
    ids = np.full((len(lengths), width), -1, np.int32)
    for row, length in enumerate(lengths):
        ids[row, :length] = np.arange(length) + 1000 * (row + 1)
    return PaddedBatch(ids, np.array(lengths, np.int32))


def made(sizes: tuple[list[int], int], quantum: int) -> tuple[PaddedBatch, TokenStream]:
    batch = padded_batch(*sizes)
    return batch, stream(batch, quantum)


@given(lengths_and_width, quanta)
def test_the_stream_holds_each_token_once_in_order(sizes: tuple[list[int], int], quantum: int) -> None:
    batch, tokens = made(sizes, quantum)
    real = batch.ids[batch.ids >= 0]
    assert np.array_equal(tokens.ids[: len(real)], real)
    assert np.array_equal(tokens.positions[: len(real)], real % 1000)
    assert (tokens.ids[len(real) :] == 0).all()


@given(lengths_and_width, quanta)
def test_grid_and_cells_lead_to_each_other(sizes: tuple[list[int], int], quantum: int) -> None:
    batch, tokens = made(sizes, quantum)
    for row, length in enumerate(batch.lengths):
        assert np.array_equal(tokens.ids[tokens.grid[row, :length]], batch.ids[row, :length])
    real = int(batch.lengths.sum())
    assert np.array_equal(tokens.grid.ravel()[tokens.cells[:real]], np.arange(real))


@given(lengths_and_width, quanta)
def test_sizes_are_multiples_of_the_quantum_and_every_index_exists(sizes: tuple[list[int], int], quantum: int) -> None:
    batch, tokens = made(sizes, quantum)
    rows, width = tokens.grid.shape
    assert len(tokens.ids) % quantum == 0
    assert len(tokens.ids) - batch.lengths.sum() < quantum
    assert rows % max(1, quantum // width) == 0
    assert len(tokens.lengths) == rows
    assert tokens.lengths.min() >= 1
    assert tokens.grid.min() >= 0
    assert tokens.grid.max() < len(tokens.ids)
    assert tokens.cells.max() < rows * width
