"""A BERT sentence encoder with 8-bit linear layers as an ONNX graph, for CPUs that OpenVINO has no fast 8-bit kernels
for: ONNX Runtime multiplies 8-bit integers on any x86 CPU with AVX2, twice as fast as it does 32-bit floats.

Its inputs are those of a ``TokenStream``. Operators of the domain ``com.microsoft`` are ONNX Runtime's own
(its ContribOperators.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.bert.layers import (
    Array,
    BertShape,
    LinearInput,
    linear_bias,
    linear_modules,
    linear_weight,
    place_embeddings,
    with_copies,
)
from models.bert.weight_steps import in_steps_for_pairs

INPUTS = {"ids": 1, "positions": 1, "cells": 1, "grid": 2, "lengths": 1}
"""The graph's inputs, in the order of a TokenStream's arrays, and their ranks."""
_CONTRIB = "com.microsoft"
_OPSETS = (helper.make_opsetid("", 18), helper.make_opsetid(_CONTRIB, 1))
_IR_VERSION = 9
"""The one that came with opset 18, so that older runtimes read it too."""
_ZERO_POINT = 128
_LARGE = 10_000
"""Numbers."""


class OnnxModel(NamedTuple):
    """``graph`` is a serialised ModelProto; its large constants are not in it, as copying them would take as long as
    everything else, but in ``tensors``, by name."""

    graph: bytes
    tensors: Mapping[str, npt.NDArray[np.generic]]


def build_model(weights: Mapping[str, Array], shape: BertShape, inputs: Mapping[str, LinearInput]) -> OnnxModel:
    """For ONNX Runtime; output as of ``openvino_graph.build_graph``: (rows, hidden), of unit length.

    ``inputs`` has one entry for each of ``linear_names``.
    """
    return _ModelBuilder(with_copies(weights, shape, inputs), shape, inputs).build()


class _ModelBuilder:
    def __init__(self, weights: Mapping[str, Array], shape: BertShape, inputs: Mapping[str, LinearInput]) -> None:
        self._weights = weights
        self._shape = shape
        self._inputs = inputs
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._tensors: dict[str, npt.NDArray[np.generic]] = {}

    def build(self) -> OnnxModel:
        width = self._node("Gather", self._node("Shape", "grid"), self._ints(1))
        columns = self._cast(self._node("Range", self._ints(0), width, self._ints(1)), TensorProto.INT32)
        columns, lengths = self._unsqueeze(columns, 0), self._unsqueeze("lengths", 1)
        real = self._node("Less", columns, lengths)

        state, mask = self._embed(), self._cast(real, TensorProto.INT32)
        for layer in range(self._shape.layers):
            state = self._layer(state, mask, layer)

        # As a product, since sums of a single row round otherwise than those of several.
        weight = self._unsqueeze(self._cast(real, TensorProto.FLOAT), 1)
        total = self._node("MatMul", weight, self._node("Gather", state, "grid"))
        total = self._node("Squeeze", total, self._ints([1]))
        norm = self._node("ReduceL2", total, self._ints([1]), keepdims=1)
        output = self._node("Div", total, norm)

        graph = helper.make_graph(
            self._nodes,
            "sentence_encoder",
            [helper.make_tensor_value_info(name, TensorProto.INT32, [None] * rank) for name, rank in INPUTS.items()],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, self._shape.hidden])],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=_OPSETS, ir_version=_IR_VERSION)
        return OnnxModel(bytes(model.SerializeToString()), self._tensors)

    def _embed(self) -> str:
        words = self._constant(self._weights["embeddings.word_embeddings.weight"])
        places = self._constant(place_embeddings(self._weights))
        state = self._node("Add", self._node("Gather", words, "ids"), self._node("Gather", places, "positions"))
        return self._normalise(state, "embeddings.LayerNorm")

    def _layer(self, state: str, mask: str, layer: int) -> str:
        prefix = f"encoder.layer.{layer}"
        mixed = self._linear(self._attention(state, mask, f"{layer}.qkv"), f"{layer}.out")
        state = self._normalise(self._node("Add", mixed, state), f"{prefix}.attention.output.LayerNorm")
        inner = self._node("Gelu", self._linear(state, f"{layer}.up"), domain=_CONTRIB)
        state = self._node("Add", self._linear(inner, f"{layer}.down"), state)
        return self._normalise(state, f"{prefix}.output.LayerNorm")

    def _attention(self, state: str, mask: str, name: str) -> str:
        how = self._inputs[name]
        steps = self._in_steps(state, how)
        # Three products: cutting one product's output in three takes longer than what it saves.
        query, key, value = (
            self._node("Gather", self._product(steps, how, *self._parameters(module)), "grid")
            for module in linear_modules(name)
        )
        mixed = self._node(
            "MultiHeadAttention", query, key, value, "", mask, domain=_CONTRIB, num_heads=self._shape.heads
        )
        return self._node("Gather", self._node("Reshape", mixed, self._ints([-1, self._shape.hidden])), "cells")

    def _linear(self, state: str, name: str) -> str:
        how = self._inputs[name]
        weight, bias = linear_weight(self._weights, name), linear_bias(self._weights, name)
        return self._product(self._in_steps(state, how), how, weight, bias)

    def _in_steps(self, state: str, how: LinearInput) -> str:
        scaled = self._node("Mul", state, self._constant(1 / how.divisors))
        return self._node(
            "QuantizeLinear", scaled, self._constant(how.unit), self._constant(np.array(_ZERO_POINT, np.uint8))
        )

    def _product(self, steps: str, how: LinearInput, weight: Array, bias: Array) -> str:
        whole, size = in_steps_for_pairs(weight * how.divisors)
        return self._node(
            "MatMulIntegerToFloat",
            steps,
            self._constant(whole.T),
            self._constant(how.unit),
            self._constant(size),
            self._constant(np.array(_ZERO_POINT, np.uint8)),
            "",
            self._constant(bias),
            domain=_CONTRIB,
        )

    def _normalise(self, state: str, name: str) -> str:
        # ONNX Runtime's SkipLayerNormalization, which adds too, takes seven times as long.
        scale, bias = self._parameters(name)
        constants = self._constant(scale), self._constant(bias)
        return self._node("LayerNormalization", state, *constants, epsilon=self._shape.epsilon)

    def _parameters(self, module: str) -> tuple[Array, Array]:
        return self._weights[f"{module}.weight"], self._weights[f"{module}.bias"]

    def _cast(self, value: str, to: int) -> str:
        return self._node("Cast", value, to=to)

    def _unsqueeze(self, value: str, axis: int) -> str:
        return self._node("Unsqueeze", value, self._ints([axis]))

    def _node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        output = f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def _ints(self, value: int | list[int]) -> str:
        return self._constant(np.array(value, np.int64))

    def _constant(self, value: npt.NDArray[np.generic] | np.generic) -> str:
        name = f"constant_{len(self._constants)}"
        tensor = np.ascontiguousarray(value)
        if tensor.size < _LARGE:
            described = numpy_helper.from_array(tensor, name)
        else:
            self._tensors[name] = tensor
            kind = helper.np_dtype_to_tensor_dtype(tensor.dtype)
            described = TensorProto(name=name, data_type=kind, dims=tensor.shape, data_location=TensorProto.EXTERNAL)
            described.external_data.add(key="location", value="in memory")
        self._constants.append(described)
        return name
