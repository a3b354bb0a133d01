"""What a BERT is made of, whatever computes it: its sizes, its linear layers, how their inputs are put into 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.protocol import Counts

Array = npt.NDArray[np.float32]
LINEAR_MODULES = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "out": ("attention.output.dense",),
    "up": ("intermediate.dense",),
    "down": ("output.dense",),
}
"""The modules of a layer that read each of its four inputs of linear layers."""


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

    @property
    def divisors(self) -> Array:
        """What each channel, copies included, is divided by."""
        return np.repeat(self.smoothing, self.copies)

    @property
    def unit(self) -> np.float32:
        """The size of a step."""
        return np.float32(self.limit / 127)


def linear_names(shape: BertShape) -> list[str]:
    """The inputs of linear layers, in the order in which the graph computes them."""
    return [f"{layer}.{part}" for layer in range(shape.layers) for part in LINEAR_MODULES]


def linear_weight(weights: Mapping[str, Array], name: str) -> Array:
    """The weights (outputs, inputs) that read the input called ``name``; of "qkv" the three stacked."""
    return np.concatenate([weights[f"{module}.weight"] for module in linear_modules(name)])


def linear_bias(weights: Mapping[str, Array], name: str) -> Array:
    """The biases (outputs) that belong to ``linear_weight``."""
    return np.concatenate([weights[f"{module}.bias"] for module in linear_modules(name)])


def linear_modules(name: str) -> list[str]:
    """Full names of the modules that read the input called ``name``."""
    layer, part = name.split(".")
    return [f"encoder.layer.{layer}.{module}" for module in LINEAR_MODULES[part]]


def place_embeddings(weights: Mapping[str, Array]) -> Array:
    """What is added to a token's embedding at each position, (positions, hidden): a text is one segment, the first."""
    places: Array = weights["embeddings.position_embeddings.weight"]
    segment: Array = weights["embeddings.token_type_embeddings.weight"][0]
    return places + segment


def with_copies(weights: Mapping[str, Array], shape: BertShape, inputs: Mapping[str, LinearInput]) -> dict[str, Array]:
    """The weights of the same model whose "down" layers have each channel as often as ``inputs`` say."""
    copied = dict(weights)
    for layer in range(shape.layers):
        copies = inputs[f"{layer}.down"].copies
        for name in ("intermediate.dense.weight", "intermediate.dense.bias"):
            name = f"encoder.layer.{layer}.{name}"
            copied[name] = np.repeat(weights[name], copies, axis=0)
        name = f"encoder.layer.{layer}.output.dense.weight"
        copied[name] = np.repeat(weights[name] / copies.astype(np.float32), copies, axis=1)
    return copied
