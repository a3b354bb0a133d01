"""Label directions: where in the encoder's space a label lies as seen from the other labels of the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.prompts import LabelPrompts
from models.protocol import Encoder

Floats = npt.NDArray[np.float64]

PHRASES_WEIGHT = 0.35
"""Share of a description's parts, each encoded alone, in a label's vector; a list of things in one sentence
blurs into their average topic."""


@dataclass(frozen=True, slots=True)
class LabelDirections:
    """``vectors`` and ``directions`` are unit rows of shape (labels, dimension).

    ``spread`` is the mean length of the label vectors after centring: how far apart the encoder holds the
    labels, and so how much a difference between two cosines says.
    """

    vectors: Floats
    directions: Floats
    spread: float

    def towards(self, vectors: Floats, share: float) -> LabelDirections:
        """With label vectors moved to rows of ``vectors``; a zero row moves nothing."""
        given = np.linalg.norm(vectors, axis=1, keepdims=True) > 0
        return directions_of(np.where(given, (1 - share) * self.vectors + share * vectors, self.vectors))


def directions_of(rows: Floats) -> LabelDirections:
    """Label vectors seen from their mean; rows of any length above 0."""
    vectors = unit(rows)
    apart = vectors - vectors.mean(axis=0)
    return LabelDirections(vectors, unit(apart), float(np.linalg.norm(apart, axis=1).mean()))


def unit(rows: npt.NDArray[np.floating]) -> Floats:
    """Rows scaled to length 1; a zero row stays zero."""
    scaled: Floats = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return scaled


def centred(rows: Floats) -> Floats:
    """Rows less their mean: log-odds over labels are the same up to it."""
    moved: Floats = rows - rows.mean(axis=-1, keepdims=True)
    return moved


def label_directions(encoder: Encoder, prompts: Sequence[LabelPrompts]) -> LabelDirections:
    """Encodes every prompt once."""
    texts = [text for label in prompts for text in (*label.sentences, *label.phrases)]
    encoded = encoder.encode(texts)[0].astype(np.float64)
    rows, start = [], 0
    for label in prompts:
        middle = start + len(label.sentences)
        end = middle + len(label.phrases)
        row = unit(encoded[start:middle].mean(axis=0))
        if label.phrases:
            parts = unit(encoded[middle:end].mean(axis=0))
            row = (1 - PHRASES_WEIGHT) * row + PHRASES_WEIGHT * parts
        rows.append(row)
        start = end
    return directions_of(np.stack(rows))
