from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.batching import BatchShapes, PackedShapes, Shapes, plan_batches

some_lengths = st.lists(st.integers(2, 300), max_size=200).map(lambda values: np.array(values, np.int64))
some_shapes = st.builds(BatchShapes, budget=st.integers(16, 2048), step=st.sampled_from([1, 8, 16]))
packed_shapes = st.builds(
    PackedShapes, tokens=st.integers(300, 2048), cells=st.integers(320, 4096), step=st.sampled_from([1, 8, 16])
)


@given(some_lengths, some_shapes | packed_shapes)
def test_every_window_is_in_exactly_one_batch(lengths: np.ndarray, shapes: Shapes) -> None:
    members = [int(m) for batch in plan_batches(lengths, shapes) for m in batch.members]
    assert sorted(members) == list(range(len(lengths)))


@given(some_lengths, some_shapes)
def test_a_batch_holds_its_members_and_keeps_to_the_budget(lengths: np.ndarray, shapes: BatchShapes) -> None:
    for batch in plan_batches(lengths, shapes):
        assert 1 <= len(batch.members) <= batch.rows
        assert lengths[batch.members].max() <= batch.width
        assert batch.rows == 1 or batch.rows * batch.width <= shapes.budget


@given(some_lengths, some_shapes)
def test_the_shape_follows_from_the_width_alone(lengths: np.ndarray, shapes: BatchShapes) -> None:
    for batch in plan_batches(lengths, shapes):
        assert batch.width % shapes.step == 0
        assert batch.rows == max(1, shapes.budget // batch.width)


@given(some_lengths, some_shapes | packed_shapes)
def test_batches_go_from_long_to_short(lengths: np.ndarray, shapes: Shapes) -> None:
    order = [int(m) for batch in plan_batches(lengths, shapes) for m in batch.members]
    assert [lengths[m] for m in order] == sorted(lengths.tolist(), reverse=True)


@given(some_lengths, some_shapes | packed_shapes)
def test_a_batch_is_no_wider_than_its_longest_window_needs(
    lengths: np.ndarray, shapes: BatchShapes | PackedShapes
) -> None:
    for batch in plan_batches(lengths, shapes):
        assert batch.width - lengths[batch.members].max() < shapes.step


@given(some_lengths, some_shapes)
def test_only_the_last_batch_has_empty_rows(lengths: np.ndarray, shapes: BatchShapes) -> None:
    batches = list(plan_batches(lengths, shapes))
    assert all(len(batch.members) == batch.rows for batch in batches[:-1])


@given(some_lengths, packed_shapes)
def test_a_packed_batch_keeps_to_its_tokens_and_cells(lengths: np.ndarray, shapes: PackedShapes) -> None:
    for batch in plan_batches(lengths, shapes):
        assert batch.rows == len(batch.members)
        assert lengths[batch.members].sum() <= shapes.tokens
        assert batch.rows * batch.width <= shapes.cells


@given(some_lengths, packed_shapes)
def test_a_packed_batch_is_closed_only_when_the_next_window_does_not_fit(
    lengths: np.ndarray, shapes: PackedShapes
) -> None:
    batches = list(plan_batches(lengths, shapes))
    for batch, following in pairwise(batches):
        too_many = lengths[batch.members].sum() + lengths[following.members[0]] > shapes.tokens
        assert too_many or (batch.rows + 1) * batch.width > shapes.cells
