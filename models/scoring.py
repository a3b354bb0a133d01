"""Label vectors from prompts, descriptions and examples; a text's score is its cosine to them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.protocol import Encoder, Vectors
from models.task import ClassificationTask

TEMPERATURE = 21.0
EXAMPLES_WEIGHT = 0.5


class Scorer(Protocol):
    def probabilities(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        """Probabilities of shape (texts, labels)."""
        ...


class CosineScorer:
    """Softmax over the labels in ``single``, a sigmoid for each in ``multi``."""

    def __init__(self, labels: Vectors, multi: bool) -> None:
        self._labels = labels
        self._multi = multi

    def probabilities(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        logits = TEMPERATURE * (vectors @ self._labels.T)
        if self._multi or self._labels.shape[0] == 1:
            scores: npt.NDArray[np.float32] = 1 / (1 + np.exp(TEMPERATURE * 0.3 - logits))
            return scores
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: npt.NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return shares


def fit_scorer(encoder: Encoder, task: ClassificationTask, engine: str) -> Scorer:
    """Encodes what is known of each label once."""
    source = task.source_type or "text"
    rows = []
    for label in task.labels:
        prompts = [label, f"This {source} is about {label}."]
        if description := task.descriptions.get(label):
            prompts += [description, f"{label}: {description}"]
        row = encoder.encode(prompts)[0].mean(axis=0)
        if examples := task.examples.get(label):
            row = row / np.linalg.norm(row) + EXAMPLES_WEIGHT * encoder.encode(examples)[0].mean(axis=0)
        rows.append(row / max(float(np.linalg.norm(row)), 1e-12))
    return CosineScorer(np.stack(rows), task.mode == "multi")
