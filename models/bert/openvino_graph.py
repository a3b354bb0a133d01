"""A BERT sentence encoder as an OpenVINO graph, built straight from its safetensors weights.

Its inputs are those of a ``TokenStream``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import openvino as ov
import openvino.opset13 as op

from models.bert.layers import (
    Array,
    BertShape,
    LinearInput,
    linear_bias,
    linear_weight,
    place_embeddings,
    with_copies,
)
from models.bert.weight_steps import in_steps


def build_graph(
    weights: Mapping[str, Array], shape: BertShape, inputs: Mapping[str, LinearInput] | None = None
) -> ov.Model:
    """Inputs are the arrays of a TokenStream, in their order; output (rows, hidden), of unit length.

    The output is the mean over each row's tokens of the last layer, divided by its norm.
    With ``inputs``, one for each of ``linear_names``, the linear layers multiply 8-bit integers.
    """
    if inputs is not None:
        weights = with_copies(weights, shape, inputs)
    return _GraphBuilder(weights, shape, inputs).build(observed=False)


def build_observed_graph(weights: Mapping[str, Array], shape: BertShape) -> ov.Model:
    """The exact graph, with the inputs ``linear_names``, (tokens, channels), as further outputs."""
    return _GraphBuilder(weights, shape, None).build(observed=True)


class _GraphBuilder:
    def __init__(
        self, weights: Mapping[str, Array], shape: BertShape, inputs: Mapping[str, LinearInput] | None
    ) -> None:
        self._weights = weights
        self._shape = shape
        self._inputs = inputs
        self._linear_inputs: list[ov.Node] = []

    def build(self, observed: bool) -> ov.Model:
        ids, positions, cells = (_input(name, 1) for name in ("ids", "positions", "cells"))
        grid, lengths = _input("grid", 2), _input("lengths", 1)
        width = op.gather(op.shape_of(grid, output_type="i32"), _ints(1), _ints(0))
        columns = op.range(_ints(0), width, _ints(1), output_type="i32")
        real = op.less(op.unsqueeze(columns, _ints(0)), op.unsqueeze(lengths, _ints(1)))
        real = op.convert(real, np.float32)
        bias = op.multiply(op.subtract(real, _floats(1.0)), _floats(30_000.0))
        bias = op.unsqueeze(bias, _ints([1, 2]))

        state = self._embed(ids, positions)
        for layer in range(self._shape.layers):
            state = self._layer(state, grid, cells, bias, layer)

        rows = op.multiply(op.gather(state, grid, _ints(0)), op.unsqueeze(real, _ints(2)))
        total = op.reduce_sum(rows, _ints([1]))
        norm = op.sqrt(op.reduce_sum(op.multiply(total, total), _ints([1]), keep_dims=True))
        outputs = [op.divide(total, norm), *(self._linear_inputs if observed else [])]
        return ov.Model(outputs, [ids, positions, cells, grid, lengths], "sentence_encoder")

    def _embed(self, ids: ov.Node, positions: ov.Node) -> ov.Node:
        words = op.gather(op.constant(self._weights["embeddings.word_embeddings.weight"]), ids, _ints(0))
        places = op.constant(place_embeddings(self._weights))
        state = op.add(words, op.gather(places, positions, _ints(0)))
        return self._normalise(state, "embeddings.LayerNorm")

    def _layer(self, state: ov.Node, grid: ov.Node, cells: ov.Node, bias: ov.Node, layer: int) -> ov.Node:
        prefix = f"encoder.layer.{layer}"
        stacked = op.gather(self._linear(state, f"{layer}.qkv"), grid, _ints(0))
        mixed = op.gather(self._attention(stacked, bias), cells, _ints(0))
        state = op.add(self._linear(mixed, f"{layer}.out"), state)
        state = self._normalise(state, f"{prefix}.attention.output.LayerNorm")
        inner = op.gelu(self._linear(state, f"{layer}.up"), "erf")
        state = op.add(self._linear(inner, f"{layer}.down"), state)
        return self._normalise(state, f"{prefix}.output.LayerNorm")

    def _attention(self, stacked: ov.Node, bias: ov.Node) -> ov.Node:
        heads, size = self._shape.heads, self._shape.hidden // self._shape.heads
        split = op.reshape(stacked, _ints([0, 0, 3 * heads, size]), special_zero=True)
        query, key, value = op.split(op.transpose(split, _ints([0, 2, 1, 3])), _ints(1), 3).outputs()
        scores = op.add(op.matmul(query, key, False, True), bias)
        mixed = op.matmul(op.softmax(scores, -1), value, False, False)
        return op.reshape(op.transpose(mixed, _ints([0, 2, 1, 3])), _ints([-1, self._shape.hidden]), special_zero=True)

    def _linear(self, state: ov.Node, name: str) -> ov.Node:
        self._linear_inputs.append(state)
        weight, bias = linear_weight(self._weights, name), linear_bias(self._weights, name)
        if name.endswith(".qkv"):
            # Attention divides its scores by the root of a head's size; here it costs nothing.
            scale = np.float32((self._shape.heads / self._shape.hidden) ** 0.5)
            weight[: self._shape.hidden] *= scale
            bias[: self._shape.hidden] *= scale
        if self._inputs is not None:
            return _eight_bit_linear(state, self._inputs[name], weight, bias)
        return op.add(op.matmul(state, op.constant(weight), False, True), op.constant(bias))

    def _normalise(self, state: ov.Node, name: str) -> ov.Node:
        centred = op.mvn(state, _ints([-1]), True, self._shape.epsilon, "inside_sqrt")
        scaled = op.multiply(centred, op.constant(self._weights[f"{name}.weight"]))
        return op.add(scaled, op.constant(self._weights[f"{name}.bias"]))


def _eight_bit_linear(state: ov.Node, how: LinearInput, weight: Array, bias: Array) -> ov.Node:
    """Steps of ``how`` are moved by 128 to unsigned numbers, which CPUs multiply faster, and back by the bias."""
    divisors, unit = how.divisors, how.unit
    steps, size = in_steps(weight * divisors)
    bias = bias - 128 * unit * size * steps.sum(axis=1, dtype=np.int32).astype(np.float32)
    counted = op.add(op.multiply(state, op.constant(1 / (divisors * unit))), _floats(128.0))
    # Without the rounding OpenVINO merges what is above into the next node and takes four times as long for it.
    counted = op.round(counted, "half_to_even")
    counted = op.fake_quantize(counted, _floats(0.0), _floats(255.0), _floats(0.0), _floats(255.0), 256)
    factors = op.multiply(op.convert(op.constant(steps), np.float32), op.constant(size[:, None] * unit))
    return op.add(op.matmul(counted, factors, False, True), op.constant(bias))


def _input(name: str, rank: int) -> ov.Node:
    return op.parameter(ov.PartialShape([-1] * rank), np.int32, name=name)


def _ints(value: int | list[int]) -> ov.Node:
    return op.constant(np.array(value, np.int32))


def _floats(value: float) -> ov.Node:
    return op.constant(np.array(value, np.float32))
