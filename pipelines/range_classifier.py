"""One range from bytes to result lines. Pure: the classifier is handed in."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from models.protocol import Classifier, OnBatch
from models.task import ClassificationTask, Prediction
from pipelines.attempts import Attempt, Span
from pipelines.ndjson import Item, ItemError, parse_line, split_lines
from pipelines.results import ResultRenderer, render_error

logger = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called with the items answered and the items answered with an error so far."""
OnGroup = Callable[[Span], None]
"""Called with the texts that are classified next."""

# So many texts do not all happen to be what makes the classifier raise.
_MANY = 20
_CONDEMNED = ItemError("classifier_error", "The classifier's process died whenever it came to this text")


@dataclass(frozen=True, slots=True)
class RangeResult:
    """The result lines of a range, in input order, and what they hold; ``errors`` counts error lines by code."""

    lines: bytes
    completed: int
    tokens: int
    errors: Mapping[str, int]

    @property
    def failed(self) -> int:
        return sum(self.errors.values())


def classify_range(
    data: bytes,
    *,
    first: bool,
    task: ClassificationTask,
    classifier: Classifier,
    attempt: Attempt,
    on_progress: OnProgress,
    on_group: OnGroup,
) -> RangeResult:
    """Answer every item of a range; an item that cannot be classified is answered with an error.

    In a careful attempt ``on_group`` is called, and has to have returned, before each group is classified.
    """
    items = [parse_line(line) for line in split_lines(data, first=first)]
    texts = [item.text for item in items if item.text is not None]
    unusable = len(items) - len(texts)
    done = 0

    def count_batch(batch: int, _tokens: int) -> None:
        nonlocal done
        done += batch
        on_progress(done, unusable)

    on_progress(0, unusable)
    answers: list[Prediction | ItemError] = [_CONDEMNED] * len(texts)
    for span in [] if attempt.hopeless else attempt.groups(len(texts)):
        if attempt.careful:
            on_group(span)
        answers[slice(*span)] = answer_texts(classifier, texts[slice(*span)], count_batch)
    return _render(items, answers, task)


def answer_texts(
    classifier: Classifier, texts: Sequence[str], on_batch: OnBatch | None = None
) -> list[Prediction | ItemError]:
    """Classify; texts that make the classifier raise are found by halving and answered with an error.

    Raises RuntimeError when each of many texts fails: then the classifier is at fault, not its texts.
    """
    if not texts:
        return []
    try:
        return _classified(classifier, texts, on_batch)
    except Exception:
        logger.exception("classifying %d texts failed; looking for those that cannot be classified", len(texts))
    answers = _answer_by_halves(classifier, texts)
    if len(texts) >= _MANY and all(isinstance(answer, ItemError) for answer in answers):
        raise RuntimeError(f"the classifier failed on each of {len(texts)} texts")
    return answers


def _classified(
    classifier: Classifier, texts: Sequence[str], on_batch: OnBatch | None = None
) -> list[Prediction | ItemError]:
    answers: list[Prediction | ItemError] = list(classifier.classify(texts, on_batch))
    if len(answers) != len(texts):
        raise RuntimeError(f"the classifier gave {len(answers)} answers to {len(texts)} texts")
    return answers


def _answer_by_halves(classifier: Classifier, texts: Sequence[str]) -> list[Prediction | ItemError]:
    try:
        return _classified(classifier, texts)
    except Exception as error:  # noqa: BLE001 - whatever a text provokes becomes its answer
        if len(texts) == 1:
            return [ItemError("classifier_error", f"The classifier failed on this text: {type(error).__name__}")]
    middle = len(texts) // 2
    return _answer_by_halves(classifier, texts[:middle]) + _answer_by_halves(classifier, texts[middle:])


def _render(items: Sequence[Item], answers: Sequence[Prediction | ItemError], task: ClassificationTask) -> RangeResult:
    renderer = ResultRenderer(task)
    remaining = iter(answers)
    lines = bytearray()
    errors: Counter[str] = Counter()
    tokens = 0
    for item in items:
        answer = item.error or next(remaining)
        if isinstance(answer, ItemError):
            errors[answer.code] += 1
            lines += render_error(answer, item.ids).encode() + b"\n"
        else:
            tokens += answer.tokens
            lines += renderer.answer(answer, item.ids).encode() + b"\n"
    return RangeResult(bytes(lines), len(items) - errors.total(), tokens, errors)
