"""One range from bytes to result lines. Pure: the classifier is handed in."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO

from models.protocol import Classifier, OnBatch
from models.task import ClassificationTask, Prediction
from pipelines.attempts import Attempt, Span
from pipelines.exceptions import ClassifierBroken
from pipelines.ndjson import Item, ItemError, parse_line, split_lines
from pipelines.results import ResultRenderer, render_error

logger = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called with the items answered and the items answered with an error so far."""
OnGroup = Callable[[Span], None]
"""Called with the texts that are classified next."""

# If the classifier raises on each of so many texts, it is not the texts.
_MANY = 20
_FINE_TEXT = "The weather is fine today."
_CONDEMNED = ItemError("classifier_error", "The classifier's process died whenever it came to this text")
# A range is worked on slice by slice, so that neither tiny lines nor long answers fill the memory. Classifiers sort the
# texts they are given, so a slice has as many as the largest range of usual lines.
_SLICE_ITEMS = 100_000
_SLICE_SCORED_LABELS = 2_000_000
_WRITTEN_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RangeResult:
    """What the result lines of a range hold; ``errors`` counts error lines by code."""

    completed: int = 0
    tokens: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(self.errors.values())

    def __add__(self, other: RangeResult) -> RangeResult:
        return RangeResult(
            self.completed + other.completed, self.tokens + other.tokens, Counter(self.errors) + Counter(other.errors)
        )


def classify_range(
    data: bytes,
    *,
    first: bool,
    task: ClassificationTask,
    classifier: Classifier,
    attempt: Attempt,
    output: IO[bytes],
    on_progress: OnProgress,
    on_group: OnGroup,
) -> RangeResult:
    """Answer every item of a range, in input order, with a line written to ``output``; an item that cannot be
    classified is answered with an error.

    In a careful attempt ``on_group`` is called, and has to have returned, before each group is classified. Raises as
    ``answer_texts`` does.
    """
    renderer = ResultRenderer(task)
    groups = _groups(attempt, data, first=first)
    result = RangeResult()
    texts_before = unusable = done = 0

    def count_batch(batch: int, _tokens: int) -> None:
        nonlocal done
        done += batch
        on_progress(done, unusable)

    lines = split_lines(data, first=first)
    while items := [parse_line(line) for line in islice(lines, _slice_items(task))]:
        texts = [item.text for item in items if item.text is not None]
        unusable += len(items) - len(texts)
        on_progress(done, unusable)
        answers: list[Prediction | ItemError] = [_CONDEMNED] * len(texts)
        for span in _within(groups, texts_before, texts_before + len(texts)):
            if attempt.careful:
                on_group(span)
            here = slice(span[0] - texts_before, span[1] - texts_before)
            answers[here] = answer_texts(classifier, texts[here], count_batch)
        texts_before += len(texts)
        result += _render(items, answers, renderer, output)
        # Otherwise they would stay in memory while the next slice is read.
        del items, texts, answers
    return result


def answer_texts(
    classifier: Classifier, texts: Sequence[str], on_batch: OnBatch | None = None
) -> list[Prediction | ItemError]:
    """Classify; texts that make the classifier raise are found by halving and answered with an error.

    Raises ClassifierBroken where from some text on the classifier fails on everything, RuntimeError where each of many
    texts fails: then the classifier is at fault, not its texts.
    """
    if not texts:
        return []
    try:
        return _classified(classifier, texts, on_batch)
    except Exception:
        logger.exception("classifying %d texts failed; looking for those that cannot be classified", len(texts))
    answers = _answer_by_halves(classifier, texts)
    # A classifier that broke at any of the texts fails on the last one too.
    if isinstance(answers[-1], ItemError) and not works(classifier):
        raise ClassifierBroken
    if len(texts) >= _MANY and all(isinstance(answer, ItemError) for answer in answers):
        raise RuntimeError(f"the classifier failed on each of {len(texts)} texts")
    return answers


def works(classifier: Classifier) -> bool:
    """Whether it answers a text that is known to be fine."""
    try:
        _classified(classifier, [_FINE_TEXT])
    except Exception:
        logger.exception("classifying a text that is known to be fine failed too")
        return False
    return True


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


def _slice_items(task: ClassificationTask) -> int:
    scored = 1 if task.mode == "single" else len(task.labels)
    return min(_SLICE_ITEMS, max(_SLICE_SCORED_LABELS // scored, 1))


def _groups(attempt: Attempt, data: bytes, *, first: bool) -> list[Span]:
    """The spans of the range to classify."""
    if attempt.hopeless:
        return []
    if not attempt.careful:
        # One span over all texts: there are no more of them than bytes.
        return attempt.groups(len(data))
    return attempt.groups(sum(parse_line(line).text is not None for line in split_lines(data, first=first)))


def _within(spans: Sequence[Span], first: int, last: int) -> list[Span]:
    """The parts of the spans that lie between two texts."""
    between = ((max(start, first), min(end, last)) for start, end in spans)
    return [(start, end) for start, end in between if start < end]


def _render(
    items: Sequence[Item],
    answers: Sequence[Prediction | ItemError],
    renderer: ResultRenderer,
    output: IO[bytes],
) -> RangeResult:
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
        if len(lines) >= _WRITTEN_BYTES:
            output.write(lines)
            lines.clear()
    output.write(lines)
    return RangeResult(len(items) - errors.total(), tokens, errors)
