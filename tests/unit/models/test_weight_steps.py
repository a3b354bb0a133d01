from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from models.bert.weight_steps import in_steps, in_steps_for_pairs

WEIGHTS = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(-4, 4, width=32))


@given(WEIGHTS)
def test_no_pair_of_neighbours_leaves_16_bits_whatever_the_inputs(weight: np.ndarray) -> None:
    steps = in_steps_for_pairs(weight).steps.astype(int)
    for row in steps:
        for start in range(0, len(row), 2):
            pair = row[start : start + 2]
            highest, lowest = 255 * np.maximum(pair, 0).sum(), 255 * np.minimum(pair, 0).sum()
            assert -(2**15) <= lowest <= highest < 2**15


@given(WEIGHTS)
def test_each_weight_is_at_most_half_a_step_away(weight: np.ndarray) -> None:
    for steps, size in (in_steps(weight), in_steps_for_pairs(weight)):
        assert steps.shape == weight.shape
        assert (np.abs(steps * size[:, None] - weight) <= size[:, None] * 0.5001).all()


def test_of_weights_of_one_size_and_sign_a_pair_leaves_a_bit_of_each() -> None:
    same = np.ones((1, 4), np.float32)
    assert in_steps(same).steps.tolist() == [[127] * 4]
    assert in_steps_for_pairs(same).steps.tolist() == [[64] * 4]


def test_weights_that_no_neighbour_shares_its_sign_with_keep_all_their_bits() -> None:
    alternating = np.array([[1, -1, 0.5, -1, 0.25]], np.float32)
    assert np.array_equal(in_steps_for_pairs(alternating).steps, in_steps(alternating).steps)


@pytest.mark.parametrize("inputs", [3, 4])
def test_an_output_without_weights_has_no_steps(inputs: int) -> None:
    steps, size = in_steps_for_pairs(np.zeros((2, inputs), np.float32))
    assert not steps.any()
    assert np.isfinite(size).all()
