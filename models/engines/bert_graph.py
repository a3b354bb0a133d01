"""A BERT sentence encoder as an OpenVINO graph, built straight from its safetensors weights.

Its inputs are those of a ``TokenStream``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as op

from models.protocol import Counts

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BertShape:
    """The sizes a BERT has. ``hidden`` must be divisible by ``heads``."""

    vocabulary: int
    layers: int
    hidden: int
    heads: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class LinearInput:
    """How the input of a linear layer is put into 8 bits.

    Each channel is divided by its entry of ``smoothing`` (and the weights multiplied by it, SmoothQuant,
    arXiv:2211.10438), which moves outliers from activations to weights; what results is rounded to 255 steps
    between ``-limit`` and ``limit``. A channel with ``copies`` of more than one is repeated so often, each copy
    with its share of the weights (outlier channel splitting, arXiv:1901.09504); only "down" may have such channels.
    All are constants, so a text's vector does not depend on its batch.
    """

    smoothing: Array
    limit: float
    copies: Counts


def linear_names(shape: BertShape) -> list[str]:
    """The inputs of linear layers, in the order in which the graph computes them."""
    return [f"{layer}.{part}" for layer in range(shape.layers) for part in ("qkv", "out", "up", "down")]


def linear_weight(weights: Mapping[str, Array], name: str) -> Array:
    """The weights (outputs, inputs) that read the input called ``name``; of "qkv" the three stacked."""
    layer, part = name.split(".")
    return np.concatenate([weights[f"encoder.layer.{layer}.{module}.weight"] for module in _MODULES[part]])


def build_graph(
    weights: Mapping[str, Array], shape: BertShape, inputs: Mapping[str, LinearInput] | None = None
) -> ov.Model:
    """Inputs are the arrays of a TokenStream, in their order; output (rows, hidden), of unit length.

    The output is the mean over each row's tokens of the last layer, divided by its norm.
    With ``inputs``, one for each of ``linear_names``, the linear layers multiply 8-bit integers.
    """
    if inputs is not None:
        weights = _with_copies(weights, shape, inputs)
    return _GraphBuilder(weights, shape, inputs).build(observed=False)


def build_observed_graph(weights: Mapping[str, Array], shape: BertShape) -> ov.Model:
    """The exact graph, with the inputs ``linear_names``, (tokens, channels), as further outputs."""
    return _GraphBuilder(weights, shape, None).build(observed=True)


_MODULES = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "out": ("attention.output.dense",),
    "up": ("intermediate.dense",),
    "down": ("output.dense",),
}


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
        places = self._weights["embeddings.position_embeddings.weight"]
        places = places + self._weights["embeddings.token_type_embeddings.weight"][0]
        state = op.add(words, op.gather(op.constant(places), positions, _ints(0)))
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
        layer, part = name.split(".")
        weight = linear_weight(self._weights, name)
        bias = np.concatenate([self._weights[f"encoder.layer.{layer}.{m}.bias"] for m in _MODULES[part]])
        if part == "qkv":
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


def _with_copies(weights: Mapping[str, Array], shape: BertShape, inputs: Mapping[str, LinearInput]) -> dict[str, Array]:
    copied = dict(weights)
    for layer in range(shape.layers):
        copies = inputs[f"{layer}.down"].copies
        for name in ("intermediate.dense.weight", "intermediate.dense.bias"):
            name = f"encoder.layer.{layer}.{name}"
            copied[name] = np.repeat(weights[name], copies, axis=0)
        name = f"encoder.layer.{layer}.output.dense.weight"
        copied[name] = np.repeat(weights[name] / copies.astype(np.float32), copies, axis=1)
    return copied


def _eight_bit_linear(state: ov.Node, how: LinearInput, weight: Array, bias: Array) -> ov.Node:
    """Steps of ``how`` are moved by 128 to unsigned numbers, which CPUs multiply faster, and back by the bias."""
    smoothing, unit = np.repeat(how.smoothing, how.copies), np.float32(how.limit / 127)
    weight = weight * smoothing
    step = np.abs(weight).max(axis=1, keepdims=True) / 127
    steps = np.rint(weight / step).astype(np.int8)
    bias = bias - 128 * unit * step[:, 0] * steps.sum(axis=1, dtype=np.int32).astype(np.float32)
    counted = op.add(op.multiply(state, op.constant(1 / (smoothing * unit))), _floats(128.0))
    # Without the rounding OpenVINO merges what is above into the next node and takes four times as long for it.
    counted = op.round(counted, "half_to_even")
    counted = op.fake_quantize(counted, _floats(0.0), _floats(255.0), _floats(0.0), _floats(255.0), 256)
    factors = op.multiply(op.convert(op.constant(steps), np.float32), op.constant(step * unit))
    return op.add(op.matmul(counted, factors, False, True), op.constant(bias))


def _input(name: str, rank: int) -> ov.Node:
    return op.parameter(ov.PartialShape([-1] * rank), np.int32, name=name)


def _ints(value: int | list[int]) -> ov.Node:
    return op.constant(np.array(value, np.int32))


def _floats(value: float) -> ov.Node:
    return op.constant(np.array(value, np.float32))
