"""A BERT sentence encoder as an OpenVINO graph, built straight from its safetensors weights."""

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
    """Inputs ``ids`` (rows, width) and ``lengths`` (rows), int32; output (rows, hidden), of unit length.

    The output is the mean over each row's first ``lengths`` tokens of the last layer, divided by its norm.
    With ``inputs``, one for each of ``linear_names``, the linear layers multiply 8-bit integers.
    """
    if inputs is not None:
        weights = _with_copies(weights, shape, inputs)
    return _GraphBuilder(weights, shape, inputs).build(observed=False)


def build_observed_graph(weights: Mapping[str, Array], shape: BertShape) -> ov.Model:
    """The exact graph, with the inputs ``linear_names``, (rows, width, channels), as further outputs."""
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
        ids = op.parameter(ov.PartialShape([-1, -1]), np.int32, name="ids")
        lengths = op.parameter(ov.PartialShape([-1]), np.int32, name="lengths")
        width = op.gather(op.shape_of(ids, output_type="i32"), _ints(1), _ints(0))
        positions = op.range(_ints(0), width, _ints(1), output_type="i32")
        real = op.less(op.unsqueeze(positions, _ints(0)), op.unsqueeze(lengths, _ints(1)))
        real = op.convert(real, np.float32)
        bias = op.multiply(op.subtract(real, _floats(1.0)), _floats(30_000.0))
        bias = op.unsqueeze(bias, _ints([1, 2]))

        state = self._embed(ids, positions)
        for layer in range(self._shape.layers):
            state = self._layer(state, bias, layer)

        total = op.reduce_sum(op.multiply(state, op.unsqueeze(real, _ints(2))), _ints([1]))
        norm = op.sqrt(op.reduce_sum(op.multiply(total, total), _ints([1]), keep_dims=True))
        outputs = [op.divide(total, norm), *(self._linear_inputs if observed else [])]
        return ov.Model(outputs, [ids, lengths], "sentence_encoder")

    def _embed(self, ids: ov.Node, positions: ov.Node) -> ov.Node:
        words = op.gather(op.constant(self._weights["embeddings.word_embeddings.weight"]), ids, _ints(0))
        places = self._weights["embeddings.position_embeddings.weight"]
        places = places + self._weights["embeddings.token_type_embeddings.weight"][0]
        state = op.add(words, op.gather(op.constant(places), positions, _ints(0)))
        return self._normalise(state, "embeddings.LayerNorm")

    def _layer(self, state: ov.Node, bias: ov.Node, layer: int) -> ov.Node:
        prefix = f"encoder.layer.{layer}"
        mixed = self._attention(self._linear(state, f"{layer}.qkv"), bias)
        state = op.add(self._linear(mixed, f"{layer}.out"), state)
        state = self._normalise(state, f"{prefix}.attention.output.LayerNorm")
        inner = op.gelu(self._linear(state, f"{layer}.up"), "erf")
        state = op.add(self._linear(inner, f"{layer}.down"), state)
        return self._normalise(state, f"{prefix}.output.LayerNorm")

    def _attention(self, stacked: ov.Node, bias: ov.Node) -> ov.Node:
        heads, size = self._shape.heads, self._shape.hidden // self._shape.heads
        split = op.reshape(stacked, _ints([0, 0, 3 * heads, size]), special_zero=True)
        query, key, value = op.split(op.transpose(split, _ints([0, 2, 1, 3])), _ints(1), 3).outputs()
        scores = op.multiply(op.matmul(query, key, False, True), _floats(size**-0.5))
        mixed = op.matmul(op.softmax(op.add(scores, bias), -1), value, False, False)
        joined = op.transpose(mixed, _ints([0, 2, 1, 3]))
        return op.reshape(joined, _ints([0, 0, self._shape.hidden]), special_zero=True)

    def _linear(self, state: ov.Node, name: str) -> ov.Node:
        self._linear_inputs.append(state)
        layer, part = name.split(".")
        weight = linear_weight(self._weights, name)
        bias = np.concatenate([self._weights[f"encoder.layer.{layer}.{m}.bias"] for m in _MODULES[part]])
        if self._inputs is None:
            product = op.matmul(state, op.constant(weight), False, True)
        else:
            how = self._inputs[name]
            smoothing = np.repeat(how.smoothing, how.copies)
            smoothed = op.multiply(state, op.constant(1 / smoothing))
            low, high = _floats(-how.limit * 128 / 127), _floats(how.limit)
            rounded = op.fake_quantize(smoothed, low, high, low, high, 256)
            product = op.matmul(rounded, _eight_bit(weight * smoothing), False, True)
        return op.add(product, op.constant(bias))

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


def _eight_bit(weight: Array) -> ov.Node:
    step = np.abs(weight).max(axis=1, keepdims=True) / 127
    steps = np.rint(weight / step).astype(np.int8)
    return op.multiply(op.convert(op.constant(steps), np.float32), op.constant(step))


def _ints(value: int | list[int]) -> ov.Node:
    return op.constant(np.array(value, np.int32))


def _floats(value: float) -> ov.Node:
    return op.constant(np.array(value, np.float32))
