"""One range from bytes to result lines. Pure: the classifier is handed in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.protocol import Classifier, OnBatch
from models.task import ClassificationTask, Prediction
from pipelines.ndjson import Item, ItemError, parse_line, split_lines
from pipelines.results import ResultRenderer, render_error

logger = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called with the items answered and the items answered with an error so far."""


@dataclass(frozen=True, slots=True)
class RangeResult:
    """The result lines of a range, in input order, and what they hold."""

    lines: bytes
    completed: int
    failed: int
    tokens: int


def classify_range(
    data: bytes, *, first: bool, task: ClassificationTask, classifier: Classifier, on_progress: OnProgress
) -> RangeResult:
    """Answer every item of a range; an item that cannot be classified is answered with an error."""
    items = [parse_line(line) for line in split_lines(data, first=first)]
    usable = [item for item in items if item.text is not None]
    unusable = len(items) - len(usable)
    done = 0

    def count_batch(texts: int, tokens: int) -> None:
        nonlocal done
        done += texts
        on_progress(done, unusable)

    on_progress(0, unusable)
    answers = answer_texts(classifier, [item.text or "" for item in usable], count_batch)
    return _render(items, answers, task)


def give_up_range(data: bytes, *, first: bool, task: ClassificationTask, reason: str) -> RangeResult:
    """Answer a range that cannot be classified: every usable item with ``classifier_error``."""
    items = [parse_line(line) for line in split_lines(data, first=first)]
    error = ItemError("classifier_error", reason)
    return _render(items, [error for item in items if item.text is not None], task)


def answer_texts(
    classifier: Classifier, texts: Sequence[str], on_batch: OnBatch | None = None
) -> list[Prediction | ItemError]:
    """Classify; texts that make the classifier raise are found by halving and answered with an error.

    Raises what the classifier raises when none of several texts can be classified: then it is not the texts' fault.
    """
    if not texts:
        return []
    try:
        return list(classifier.classify(texts, on_batch))
    except Exception:
        if len(texts) < 2:
            raise
        logger.exception("classifying %d texts failed; looking for those that cannot be classified", len(texts))
    answers = _answer_by_halves(classifier, texts)
    if all(isinstance(answer, ItemError) for answer in answers):
        raise RuntimeError(f"the classifier failed on each of {len(texts)} texts")
    return answers


def _answer_by_halves(classifier: Classifier, texts: Sequence[str]) -> list[Prediction | ItemError]:
    try:
        return list(classifier.classify(texts))
    except Exception as error:  # noqa: BLE001 - whatever a text provokes becomes its answer
        if len(texts) == 1:
            return [ItemError("classifier_error", f"The classifier failed on this text: {type(error).__name__}")]
    middle = len(texts) // 2
    return _answer_by_halves(classifier, texts[:middle]) + _answer_by_halves(classifier, texts[middle:])


def _render(items: Sequence[Item], answers: Sequence[Prediction | ItemError], task: ClassificationTask) -> RangeResult:
    renderer = ResultRenderer(task)
    remaining = iter(answers)
    lines: list[str] = []
    failed = tokens = 0
    for item in items:
        answer = item.error or next(remaining)
        if isinstance(answer, ItemError):
            failed += 1
            lines.append(render_error(answer, item.ids))
        else:
            tokens += answer.tokens
            lines.append(renderer.answer(answer, item.ids))
    return RangeResult(
        lines="".join(f"{line}\n" for line in lines).encode(),
        completed=len(items) - failed,
        failed=failed,
        tokens=tokens,
    )
