"""An engine's confidence in every label, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.protocol import Engine
from models.task import ClassificationTask


def confidences(engine: Engine, task: ClassificationTask, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Shape (texts, labels), for a task in ``multi`` with threshold 0."""
    answers = engine.bind(task).classify(texts)
    found = [{scored.label: scored.confidence for scored in answer.labels} for answer in answers]
    return np.array([[row[label] for label in task.labels] for row in found])
