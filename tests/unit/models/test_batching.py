from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.batching import PackedShapes, plan_batches

some_lengths = st.lists(st.integers(2, 300), max_size=200).map(lambda values: np.array(values, np.int64))
some_shapes = st.builds(
    PackedShapes, tokens=st.integers(300, 2048), cells=st.integers(320, 4096), step=st.sampled_from([1, 8, 16])
)


@given(some_lengths, some_shapes)
def test_every_window_is_in_exactly_one_batch(lengths: np.ndarray, shapes: PackedShapes) -> None:
    members = [int(m) for batch in plan_batches(lengths, shapes) for m in batch.members]
    assert sorted(members) == list(range(len(lengths)))


@given(some_lengths, some_shapes)
def test_batches_go_from_long_to_short(lengths: np.ndarray, shapes: PackedShapes) -> None:
    order = [int(m) for batch in plan_batches(lengths, shapes) for m in batch.members]
    assert [lengths[m] for m in order] == sorted(lengths.tolist(), reverse=True)


@given(some_lengths, some_shapes)
def test_a_batch_is_no_wider_than_its_longest_window_needs(lengths: np.ndarray, shapes: PackedShapes) -> None:
    for batch in plan_batches(lengths, shapes):
        assert batch.width - lengths[batch.members].max() < shapes.step


@given(some_lengths, some_shapes)
def test_a_packed_batch_keeps_to_its_tokens_and_cells(lengths: np.ndarray, shapes: PackedShapes) -> None:
    for batch in plan_batches(lengths, shapes):
        assert lengths[batch.members].sum() <= shapes.tokens
        assert len(batch.members) * batch.width <= shapes.cells
        assert lengths[batch.members].max() <= batch.width
        assert batch.width % shapes.step == 0


@given(some_lengths, some_shapes)
def test_a_packed_batch_is_closed_only_when_the_next_window_does_not_fit(
    lengths: np.ndarray, shapes: PackedShapes
) -> None:
    batches = list(plan_batches(lengths, shapes))
    for batch, following in pairwise(batches):
        too_many = lengths[batch.members].sum() + lengths[following.members[0]] > shapes.tokens
        assert too_many or (len(batch.members) + 1) * batch.width > shapes.cells
