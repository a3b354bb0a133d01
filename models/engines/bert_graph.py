"""A BERT sentence encoder as an OpenVINO graph, built straight from its safetensors weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as op

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BertShape:
    """The sizes a BERT has. ``hidden`` must be divisible by ``heads``."""

    layers: int
    hidden: int
    heads: int
    epsilon: float


def build_graph(weights: Mapping[str, Array], shape: BertShape) -> ov.Model:
    """Inputs ``ids`` (rows, width) and ``lengths`` (rows), both int32; output (rows, hidden), float32, unit
    length.

    The output is the mean over each row's first ``lengths`` tokens of the last layer, divided by its norm.
    """
    return _GraphBuilder(weights, shape).build()


class _GraphBuilder:
    def __init__(self, weights: Mapping[str, Array], shape: BertShape) -> None:
        self._weights = weights
        self._shape = shape

    def build(self) -> ov.Model:
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
            state = self._layer(state, bias, f"encoder.layer.{layer}.")

        weight = op.unsqueeze(real, _ints(2))
        total = op.reduce_sum(op.multiply(state, weight), _ints([1]))
        norm = op.sqrt(op.reduce_sum(op.multiply(total, total), _ints([1]), keep_dims=True))
        return ov.Model([op.divide(total, norm)], [ids, lengths], "sentence_encoder")

    def _embed(self, ids: ov.Node, positions: ov.Node) -> ov.Node:
        words = op.gather(op.constant(self._weights["embeddings.word_embeddings.weight"]), ids, _ints(0))
        places = self._weights["embeddings.position_embeddings.weight"]
        places = places + self._weights["embeddings.token_type_embeddings.weight"][0]
        state = op.add(words, op.gather(op.constant(places), positions, _ints(0)))
        return self._normalise(state, "embeddings.LayerNorm.")

    def _layer(self, state: ov.Node, bias: ov.Node, name: str) -> ov.Node:
        query, key, value = (
            self._heads(state, f"{name}attention.self.{part}.") for part in ("query", "key", "value")
        )
        scale = _floats((self._shape.hidden // self._shape.heads) ** -0.5)
        scores = op.multiply(op.matmul(query, key, transpose_a=False, transpose_b=True), scale)
        mixed = op.matmul(op.softmax(op.add(scores, bias), -1), value, transpose_a=False, transpose_b=False)
        mixed = op.reshape(
            op.transpose(mixed, _ints([0, 2, 1, 3])), _ints([0, 0, self._shape.hidden]), special_zero=True
        )
        attended = self._linear(mixed, f"{name}attention.output.dense.")
        state = self._normalise(op.add(attended, state), f"{name}attention.output.LayerNorm.")
        inner = op.gelu(self._linear(state, f"{name}intermediate.dense."), "erf")
        return self._normalise(
            op.add(self._linear(inner, f"{name}output.dense."), state), f"{name}output.LayerNorm."
        )

    def _heads(self, state: ov.Node, name: str) -> ov.Node:
        heads = self._shape.heads
        split = op.reshape(
            self._linear(state, name), _ints([0, 0, heads, self._shape.hidden // heads]), special_zero=True
        )
        return op.transpose(split, _ints([0, 2, 1, 3]))

    def _linear(self, state: ov.Node, name: str) -> ov.Node:
        weight = op.constant(self._weights[f"{name}weight"])
        product = op.matmul(state, weight, transpose_a=False, transpose_b=True)
        return op.add(product, op.constant(self._weights[f"{name}bias"]))

    def _normalise(self, state: ov.Node, name: str) -> ov.Node:
        centred = op.mvn(state, _ints([-1]), True, self._shape.epsilon, "inside_sqrt")
        scaled = op.multiply(centred, op.constant(self._weights[f"{name}weight"]))
        return op.add(scaled, op.constant(self._weights[f"{name}bias"]))


def _ints(value: int | list[int]) -> ov.Node:
    return op.constant(np.array(value, np.int32))


def _floats(value: float) -> ov.Node:
    return op.constant(np.array(value, np.float32))
