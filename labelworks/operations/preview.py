"""The calls that answer at once, for trying out labels on a few texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from labelworks.operations.effects import Operation
from labelworks.operations.service import Service
from labelworks.types import PreviewResult, PreviewTask


class PreviewOperations:
    """Each call, as an operation. The answers are those that a job gives, but for the default ``threshold``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def classify(self, text: str, **task: Unpack[PreviewTask]) -> Operation[PreviewResult]:
        """The one best label of a text. What the arguments mean: ``labelworks.types.Task``."""
        return PreviewResult.from_json((yield from self._answer("/v1/classify", text=text, **task)))

    def tag(self, text: str, **task: Unpack[PreviewTask]) -> Operation[PreviewResult]:
        """Every label of a text at or over ``threshold``, which is 0.5 here if not given, best first."""
        return PreviewResult.from_json((yield from self._answer("/v1/tag", text=text, **task)))

    def classify_batch(self, texts: Iterable[str], **task: Unpack[PreviewTask]) -> Operation[list[PreviewResult]]:
        """``classify`` of up to 1,000 texts, in their order. A text that cannot be classified has an ``error``."""
        answer = yield from self._answer("/v1/classify/batch", texts=list(texts), **task)
        return [PreviewResult.from_json(entry) for entry in answer["results"]]

    def tag_batch(self, texts: Iterable[str], **task: Unpack[PreviewTask]) -> Operation[list[PreviewResult]]:
        """``tag`` of up to 1,000 texts, in their order. A text that cannot be classified has an ``error``."""
        answer = yield from self._answer("/v1/tag/batch", texts=list(texts), **task)
        return [PreviewResult.from_json(entry) for entry in answer["results"]]

    def _answer(self, path: str, **body: Any) -> Operation[Any]:
        answer = yield from self._service.call("POST", path, json=body)
        return answer.json()
