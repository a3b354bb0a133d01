"""Weights of linear layers in 8 bits: whole steps, whose size each output has for itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.bert.layers import Array

MOST = 127
MOST_OF_A_PAIR = 128
"""Times 255, the largest input, it still fits into 16 bits."""


class WeightSteps(NamedTuple):
    """About the weights ``steps * size[:, None]``; ``steps`` has their shape (outputs, inputs), ``size`` (outputs,)."""

    steps: npt.NDArray[np.int8]
    size: Array


def in_steps(weight: Array) -> WeightSteps:
    """The closest with steps of -127 to 127."""
    return _rounded(weight, np.abs(weight).max(axis=1) / MOST)


def in_steps_for_pairs(weight: Array) -> WeightSteps:
    """Steps of -127 to 127 for CPUs that add the products of two neighbouring inputs in 16 bits (``vpmaddubsw``).

    Neighbours, the inputs 0 and 1, 2 and 3 and so on, have no more than 128 steps of one sign together, so that with
    inputs of 0 to 255 no such sum leaves 16 bits, where it would be cut off. Halving all steps (``reduce_range`` of
    ONNX Runtime's quantizer) would do that too, and leaves a bit less of every weight.
    """
    even = np.pad(weight, ((0, 0), (0, weight.shape[1] % 2)))
    first, second = even[:, ::2], even[:, 1::2]
    positive = np.maximum(first, 0) + np.maximum(second, 0)
    negative = np.minimum(first, 0) + np.minimum(second, 0)
    together = np.maximum(positive.max(axis=1), -negative.min(axis=1))
    # Rounding may add half a step to each of the two.
    return _rounded(weight, np.maximum(np.abs(weight).max(axis=1) / MOST, together / (MOST_OF_A_PAIR - 0.5)))


def _rounded(weight: Array, size: Array) -> WeightSteps:
    size = np.where(size > 0, size, 1).astype(np.float32)
    return WeightSteps(np.rint(weight / size[:, None]).astype(np.int8), size)
