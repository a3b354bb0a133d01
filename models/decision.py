"""From label probabilities to the answer a client sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.protocol import Counts
from models.task import ClassificationTask, Prediction, ScoredLabel


def decide(
    task: ClassificationTask, probabilities: npt.NDArray[np.floating], tokens: Counts | Sequence[int]
) -> list[Prediction]:
    """One prediction a row of ``probabilities`` (texts, labels); of equals the earlier label wins."""
    if task.mode == "single":
        best = probabilities.argmax(axis=1)
        return [
            Prediction((ScoredLabel(task.labels[label], float(row[label])),), int(count))
            for row, label, count in zip(probabilities, best, tokens, strict=True)
        ]
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return [
        Prediction(
            tuple(ScoredLabel(task.labels[i], float(row[i])) for i in ranks if row[i] >= task.threshold),
            int(count),
        )
        for row, ranks, count in zip(probabilities, order, tokens, strict=True)
    ]
