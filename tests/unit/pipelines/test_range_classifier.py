from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Sequence
from typing import IO, Literal, NamedTuple, cast

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.decision import decide
from models.protocol import Classifier, OnBatch
from models.task import ClassificationTask, Prediction, ScoredLabel
from pipelines import range_classifier
from pipelines.attempts import Attempt, Span
from pipelines.exceptions import ClassifierBroken
from pipelines.ndjson import ItemError, parse_line, split_lines
from pipelines.range_classifier import OnProgress, answer_texts
from pipelines.results import ResultRenderer
from tests.unit.pipelines.strategies import input_bytes

TASK = ClassificationTask(labels=("even", "odd"))


class Poisoned(Exception):
    """A text that the classifier cannot take."""


class LengthClassifier:
    """Answers by the length of a text, batch by batch, and raises for texts that hold 'poison'."""

    def __init__(self, batch: int = 3, poison: str = "poison") -> None:
        self._batch = batch
        self._poison = poison
        self.calls: list[list[str]] = []

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        self.calls.append(list(texts))
        assert texts, "asked to classify nothing"
        answers: list[Prediction] = []
        for start in range(0, len(texts), self._batch):
            batch = texts[start : start + self._batch]
            if any(self._poison in text for text in batch):
                raise Poisoned(self._poison)
            answers += [predict(text) for text in batch]
            if on_batch:
                on_batch(len(batch), sum(map(len, batch)))
        return answers


def predict(text: str) -> Prediction:
    return Prediction((ScoredLabel("odd" if len(text) % 2 else "even", 0.75),), tokens=len(text))


class Answered(NamedTuple):
    """A range's result lines and what they hold."""

    lines: bytes
    completed: int
    failed: int
    tokens: int


def ignore(completed: int, failed: int) -> None:
    pass


def classify_range(
    data: bytes,
    *,
    first: bool,
    task: ClassificationTask,
    classifier: Classifier,
    on_progress: OnProgress,
    attempt: Attempt | None = None,
    groups: list[Span] | None = None,
) -> Answered:
    output = io.BytesIO()
    result = range_classifier.classify_range(
        data,
        first=first,
        task=task,
        classifier=classifier,
        attempt=attempt or Attempt(1),
        output=output,
        on_progress=on_progress,
        on_group=(groups if groups is not None else []).append,
    )
    return Answered(output.getvalue(), result.completed, result.failed, result.tokens)


def lines_of(*texts: object) -> bytes:
    return b"".join(json.dumps({"id": number, "text": text}).encode() + b"\n" for number, text in enumerate(texts))


@given(data=input_bytes(), first=st.booleans())
@example(data=b"", first=True)
@example(data=b"oops", first=True)
def test_line_n_answers_item_n_of_any_bytes(data: bytes, first: bool) -> None:
    result = classify_range(
        data, first=first, task=TASK, classifier=LengthClassifier(poison="\x00never"), on_progress=ignore
    )
    items = [parse_line(line) for line in split_lines(data, first=first)]
    lines = result.lines.split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == len(items) == result.completed + result.failed
    tokens = 0
    renderer = ResultRenderer(TASK)
    for line, item in zip(lines, items, strict=True):
        if item.text is None:
            assert item.error
            assert json.loads(line)["error"] == {"code": item.error.code, "message": item.error.message}
        else:
            assert line.decode() == renderer.answer(predict(item.text), item.ids)
            tokens += len(item.text)
    assert result.tokens == tokens
    assert result.failed == sum(item.text is None for item in items)


@given(
    texts=st.lists(st.sampled_from(["fine", "poison", "ok", "a poisoned one"]), min_size=2, max_size=20).filter(
        lambda texts: any("poison" not in text for text in texts)
    ),
    batch=st.integers(1, 5),
)
def test_texts_that_make_the_classifier_raise_are_found_and_the_others_answered(texts: list[str], batch: int) -> None:
    answers = answer_texts(LengthClassifier(batch), texts)
    assert len(answers) == len(texts)
    for text, answer in zip(texts, answers, strict=True):
        if "poison" in text:
            assert answer == ItemError("classifier_error", "The classifier failed on this text: Poisoned")
        else:
            assert answer == predict(text)


def test_a_poisoned_text_is_answered_in_its_line_with_its_id() -> None:
    data = lines_of("a", "poison", "bb") + b"oops\n" + lines_of("c")
    result = classify_range(data, first=True, task=TASK, classifier=LengthClassifier(), on_progress=ignore)
    assert result.lines.decode().splitlines() == [
        '{"id":0,"label":"odd","confidence":0.75,"tokens":1}',
        '{"id":1,"error":{"code":"classifier_error","message":"The classifier failed on this text: Poisoned"}}',
        '{"id":2,"label":"even","confidence":0.75,"tokens":2}',
        '{"error":{"code":"invalid_json","message":"The line is not valid JSON: invalid character (byte 0)"}}',
        '{"id":0,"label":"odd","confidence":0.75,"tokens":1}',
    ]
    assert (result.completed, result.failed, result.tokens) == (3, 2, 4)


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_a_text_of_which_the_engine_makes_no_number_is_an_error_in_its_line(mode: Literal["single", "multi"]) -> None:
    task = ClassificationTask(labels=("even", "odd"), mode=mode)

    class Overflowing:
        def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
            first = [np.nan if text == "huge" else 0.25 for text in texts]
            return decide(task, np.array([[one, 0.75] for one in first]), [1] * len(texts))

    result = classify_range(
        lines_of("a", "huge", "b"), first=True, task=task, classifier=Overflowing(), on_progress=ignore
    )
    answers = [json.loads(line) for line in result.lines.splitlines()]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, "classifier_error", None]
    assert b"nan" not in result.lines.lower()


def test_one_poisoned_text_costs_about_two_calls_a_halving() -> None:
    classifier = LengthClassifier(batch=1000)
    answer_texts(classifier, ["fine"] * 500 + ["poison"] + ["fine"] * 523)
    assert len(classifier.calls) <= 2 + 2 * 10


@pytest.mark.parametrize("count", [20, 33])
def test_a_classifier_that_fails_on_each_of_many_texts_raises_since_they_are_not_at_fault(count: int) -> None:
    with pytest.raises(RuntimeError, match=str(count)):
        answer_texts(LengthClassifier(), ["poison"] * count)


@pytest.mark.parametrize("count", [1, 2, 19])
def test_a_few_texts_that_all_fail_are_answered_with_errors(count: int) -> None:
    answers = answer_texts(LengthClassifier(), ["poison"] * count)
    assert [answer.code for answer in answers if isinstance(answer, ItemError)] == ["classifier_error"] * count


class BreakingClassifier(LengthClassifier):
    """Fails on whatever it is given once it was given 'poison', as on a GPU whose context is broken."""

    def __init__(self) -> None:
        super().__init__()
        self._broken = False

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        self._broken = self._broken or "poison" in texts
        if self._broken:
            raise Poisoned
        return super().classify(texts, on_batch)


@pytest.mark.parametrize("texts", [["poison"], ["fine", "poison", "fine"], ["fine"] * 40 + ["poison"]])
def test_a_classifier_that_fails_on_everything_from_some_text_on_is_broken_and_no_text_is_blamed(
    texts: list[str],
) -> None:
    with pytest.raises(ClassifierBroken):
        answer_texts(BreakingClassifier(), texts)
    with pytest.raises(ClassifierBroken):
        classify_range(
            lines_of(*texts),
            first=True,
            task=TASK,
            classifier=BreakingClassifier(),
            on_progress=ignore,
            attempt=Attempt(3, careful=True),
        )


def test_a_classifier_that_breaks_while_a_text_that_fails_is_looked_for_is_broken() -> None:
    class BreaksLater(LengthClassifier):
        def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
            answers = super().classify(texts, on_batch)
            # The third call is for the first half.
            if len(self.calls) != 3:
                raise Poisoned
            return answers

    with pytest.raises(ClassifierBroken):
        answer_texts(BreaksLater(), ["fine"] * 8)


def test_an_interruption_is_not_blamed_on_a_text() -> None:
    class Interrupted(LengthClassifier):
        def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer_texts(Interrupted(), ["a", "b"])


def test_a_range_without_usable_items_asks_the_classifier_for_nothing() -> None:
    classifier = LengthClassifier()
    result = classify_range(b"oops\n\n{}\n", first=True, task=TASK, classifier=classifier, on_progress=ignore)
    assert (result.completed, result.failed, result.tokens) == (0, 2, 0)
    assert classifier.calls == []


def test_progress_counts_bad_lines_at_once_and_texts_batch_by_batch() -> None:
    heard: list[tuple[int, int]] = []
    classify_range(
        lines_of("a", "b", 7, "c", "d"),
        first=True,
        task=TASK,
        classifier=LengthClassifier(batch=3),
        on_progress=lambda completed, failed: heard.append((completed, failed)),
    )
    assert heard == [(0, 1), (3, 1), (4, 1)]


def test_a_hopeless_range_answers_every_usable_item_with_an_error() -> None:
    classifier = LengthClassifier()
    result = classify_range(
        lines_of("a", "", "b") + b"oops",
        first=True,
        task=TASK,
        classifier=classifier,
        on_progress=ignore,
        attempt=Attempt(9, careful=True, hopeless=True),
    )
    assert [json.loads(line)["error"]["code"] for line in result.lines.splitlines()] == [
        "classifier_error",
        "empty_text",
        "classifier_error",
        "invalid_json",
    ]
    assert json.loads(result.lines.splitlines()[2])["id"] == 2
    assert (result.completed, result.failed, result.tokens) == (0, 4, 0)
    assert classifier.calls == []


def test_a_careful_attempt_names_each_group_first_and_spares_the_condemned_texts() -> None:
    groups: list[Span] = []
    result = classify_range(
        lines_of("a", "bb", "ccc", "d"),
        first=True,
        task=TASK,
        classifier=LengthClassifier(),
        on_progress=ignore,
        attempt=Attempt(4, careful=True, suspects=(0, 2), condemned=((2, 3),)),
        groups=groups,
    )
    answers = [json.loads(line) for line in result.lines.splitlines()]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, None, "classifier_error", None]
    assert groups == [(0, 1), (1, 2), (3, 4)]


@given(data=input_bytes())
def test_the_same_bytes_give_the_same_bytes_however_they_are_batched(data: bytes) -> None:
    one, other = (
        classify_range(data, first=True, task=TASK, classifier=LengthClassifier(batch, "\x00never"), on_progress=ignore)
        for batch in (1, 4)
    )
    assert one == other


@given(
    data=input_bytes(),
    items=st.integers(1, 5),
    attempt=st.sampled_from(
        [
            Attempt(1),
            Attempt(3, careful=True),
            Attempt(4, careful=True, suspects=(1, 4)),
            Attempt(5, careful=True, condemned=((0, 1), (2, 4))),
            Attempt(9, careful=True, hopeless=True),
        ]
    ),
)
@example(data=lines_of(*"abcdef"), items=2, attempt=Attempt(4, careful=True, suspects=(1, 4)))
@example(data=lines_of("a", 7, 7, 7, "b"), items=2, attempt=Attempt(3, careful=True))
def test_a_range_in_slices_is_answered_as_it_is_in_one(data: bytes, items: int, attempt: Attempt) -> None:
    def answered(slice_items: int) -> tuple[Answered, list[Span], list[tuple[int, int]]]:
        groups: list[Span] = []
        heard: list[tuple[int, int]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(range_classifier, "_SLICE_ITEMS", slice_items)
            result = classify_range(
                data,
                first=True,
                task=TASK,
                classifier=LengthClassifier(poison="\x00never"),
                on_progress=lambda completed, failed: heard.append((completed, failed)),
                attempt=attempt,
                groups=groups,
            )
        return result, groups, heard

    whole, of_whole, _ = answered(1000)
    sliced, of_sliced, heard = answered(items)
    assert sliced == whole
    assert [text for span in of_sliced for text in range(*span)] == [text for span in of_whole for text in range(*span)]
    assert all(start < end for start, end in of_sliced)
    assert heard == sorted(heard)


@pytest.mark.parametrize(("mode", "most"), [("single", 7), ("multi", 2)])
def test_no_more_texts_are_at_work_than_their_answers_are_short(
    monkeypatch: pytest.MonkeyPatch, mode: Literal["single", "multi"], most: int
) -> None:
    monkeypatch.setattr(range_classifier, "_SLICE_ITEMS", 7)
    monkeypatch.setattr(range_classifier, "_SLICE_SCORED_LABELS", 8)
    task = ClassificationTask(labels=("even", "odd", "none"), mode=mode)
    classifier = LengthClassifier()
    classify_range(lines_of(*"a" * 15), first=True, task=task, classifier=classifier, on_progress=ignore)
    assert max(map(len, classifier.calls)) == most
    assert sum(map(len, classifier.calls)) == 15


def test_a_range_of_usual_lines_is_given_to_the_classifier_at_once() -> None:
    classifier = LengthClassifier(batch=1000)
    data = (b'{"text":"' + b"x" * 88 + b'"}\n') * (8 * 1024 * 1024 // 100)
    classify_range(data, first=True, task=TASK, classifier=classifier, on_progress=ignore)
    assert list(map(len, classifier.calls)) == [83_886]


def test_tiny_lines_take_no_more_memory_than_a_slice_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_classifier, "_SLICE_ITEMS", 1000)

    class Nowhere(io.RawIOBase):
        def write(self, _: object) -> int:
            return 0

    def peak_of(lines: int) -> int:
        data = b"{}\n" * lines
        tracemalloc.start()
        range_classifier.classify_range(
            data,
            first=True,
            task=TASK,
            classifier=LengthClassifier(),
            attempt=Attempt(1),
            output=cast(IO[bytes], Nowhere()),
            on_progress=ignore,
            on_group=lambda span: None,
        )
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak_of(100_000) < 1.5 * peak_of(25_000)
