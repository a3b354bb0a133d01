"""From label probabilities to the answer a client sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.exceptions import UnusableProbabilities
from models.protocol import Counts
from models.task import ClassificationTask, Prediction, ScoredLabel

DECIMALS = 4
"""Confidences are rounded before anything is decided, so what is printed and what was decided agree."""


def decide(
    task: ClassificationTask, probabilities: npt.NDArray[np.floating], tokens: Counts | Sequence[int]
) -> list[Prediction]:
    """One prediction a row of ``probabilities`` (texts, labels); of equals the label named first wins.

    Raises UnusableProbabilities where one is not a finite number: such an answer has no meaning, nor a place in JSON.
    """
    if not np.isfinite(probabilities).all():
        unusable = int((~np.isfinite(probabilities)).any(axis=1).sum())
        raise UnusableProbabilities(unusable, len(probabilities))
    rounded = probabilities.astype(np.float64).round(DECIMALS)
    if task.mode == "single":
        # Among all the digits: two labels that round alike still differ.
        best = probabilities.argmax(axis=1)
        confidences = rounded[np.arange(len(best)), best]
        return [
            Prediction((ScoredLabel(task.labels[label], float(confidence)),), int(count))
            for label, confidence, count in zip(best, confidences, tokens, strict=True)
        ]
    order = np.argsort(-rounded, axis=1, kind="stable")
    over = rounded >= task.threshold
    return [
        Prediction(
            tuple(ScoredLabel(task.labels[i], float(row[i])) for i in ranks if kept[i]),
            int(count),
        )
        for row, kept, ranks, count in zip(rounded, over, order, tokens, strict=True)
    ]
