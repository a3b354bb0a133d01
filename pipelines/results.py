"""Result lines: what the client reads for each item."""

from __future__ import annotations

import json

from models.task import ClassificationTask, Prediction
from pipelines.ndjson import ItemError


class ResultRenderer:
    """Renders result lines of one task; label names are escaped once, not once a line."""

    def __init__(self, task: ClassificationTask) -> None:
        self._single = task.mode == "single"
        self._escaped = {label: json.dumps(label, ensure_ascii=False) for label in task.labels}

    def answer(self, prediction: Prediction, ids: str) -> str:
        """The line of a classified item, without its line end."""
        scored = [
            f'"label":{self._escaped[best.label]},"confidence":{round(float(best.confidence), 4)!r}'
            for best in prediction.labels
        ]
        if self._single:
            return f'{{{ids}{scored[0]},"tokens":{prediction.tokens}}}'
        listed = ",".join(f"{{{entry}}}" for entry in scored)
        return f'{{{ids}"labels":[{listed}],"tokens":{prediction.tokens}}}'


def render_error(error: ItemError, ids: str) -> str:
    """The line of an item that cannot be classified, without its line end."""
    message = json.dumps(error.message, ensure_ascii=False)
    return f'{{{ids}"error":{{"code":"{error.code}","message":{message}}}}}'
