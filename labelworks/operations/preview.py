"""The calls that answer at once, for trying out labels on a few texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, Unpack

from labelworks.errors import InputError
from labelworks.operations.effects import Operation
from labelworks.operations.service import Service
from labelworks.tasks import require_text, sendable
from labelworks.types import PreviewResult, PreviewTask

T = TypeVar("T")


class PreviewOperations:
    """Each call, as an operation. The answers are those that a job gives, but for the default ``threshold``.

    Raises InputError for a text that is not a string and for an argument of another type.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def classify(self, text: str, **task: Unpack[PreviewTask]) -> Operation[PreviewResult]:
        """The one best label of a text. What the arguments mean: ``labelworks.types.Task``."""
        return (yield from self._answer("/v1/classify", _result, text=_text(text), **sendable(task)))

    def tag(self, text: str, **task: Unpack[PreviewTask]) -> Operation[PreviewResult]:
        """Every label of a text at or over ``threshold``, which is 0.5 here if not given, best first."""
        return (yield from self._answer("/v1/tag", _result, text=_text(text), **sendable(task)))

    def classify_batch(self, texts: Iterable[str], **task: Unpack[PreviewTask]) -> Operation[list[PreviewResult]]:
        """``classify`` of up to 1,000 texts, in their order. A text that cannot be classified has an ``error``."""
        return (yield from self._answer("/v1/classify/batch", _results, texts=_texts(texts), **sendable(task)))

    def tag_batch(self, texts: Iterable[str], **task: Unpack[PreviewTask]) -> Operation[list[PreviewResult]]:
        """``tag`` of up to 1,000 texts, in their order. A text that cannot be classified has an ``error``."""
        return (yield from self._answer("/v1/tag/batch", _results, texts=_texts(texts), **sendable(task)))

    def _answer(self, path: str, parse: Callable[[Any], T], **body: Any) -> Operation[T]:
        answer = yield from self._service.call("POST", path, json=body)
        return answer.read(parse)


def _result(answer: Mapping[str, Any]) -> PreviewResult:
    if not answer.keys() & {"label", "labels", "error"}:
        raise KeyError("label")
    return PreviewResult.from_json(answer)


def _results(answer: Mapping[str, Any]) -> list[PreviewResult]:
    return [_result(entry) for entry in answer["results"]]


def _text(text: str) -> str:
    require_text(text, "The text")
    return text


def _texts(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str | bytes | Mapping):
        raise InputError(f"One {type(texts).__name__} was passed; expected a list of the texts to classify")
    found = list(texts)
    for number, text in enumerate(found, 1):
        require_text(text, f"Text {number:,}")
    return found
