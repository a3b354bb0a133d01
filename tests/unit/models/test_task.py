"""How much of what clients say of labels is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models.engines.gliclass import label_text
from models.engines.nli import hypothesis
from models.prompts import label_prompts
from models.task import DESCRIPTION_CHARACTERS, DESCRIPTIONS_CHARACTERS, MOST_EXAMPLES, ClassificationTask

Read = Callable[[ClassificationTask], list[str]]


def by_encoders(task: ClassificationTask) -> list[str]:
    return [text for label in label_prompts(task) for text in (*label.sentences, *label.phrases)]


def by_nli(task: ClassificationTask) -> list[str]:
    return [hypothesis(task, label) for label in task.labels]


def by_gliclass(task: ClassificationTask) -> list[str]:
    return [label_text(task, label) for label in task.labels]


ALL = pytest.mark.parametrize(("read", "times"), [(by_encoders, 5), (by_nli, 1), (by_gliclass, 1)])


@ALL
def test_the_end_of_a_description_beyond_all_windows_is_not_read(read: Read, times: int) -> None:
    task = ClassificationTask(("a", "b"), {"a": "wxyz " * 200_000})
    assert sum(text.count("wxyz") for text in read(task)) <= times * DESCRIPTION_CHARACTERS / 5


@ALL
def test_many_descriptions_share_what_is_read(read: Read, times: int) -> None:
    labels = tuple(f"label {number}" for number in range(200))
    task = ClassificationTask(labels, dict.fromkeys(labels, "wxyz " * 1_000))
    counts = [text.count("wxyz") for text in read(task)]
    assert sum(counts) <= times * DESCRIPTIONS_CHARACTERS / 5
    assert max(counts) == DESCRIPTIONS_CHARACTERS / 200 / 5


@ALL
def test_ordinary_descriptions_are_read_whole(read: Read, times: int) -> None:
    labels = tuple(f"label {number}" for number in range(200))
    alone = ClassificationTask(("a",), {"a": " " + "wxyz " * 799 + "end. "})
    many = ClassificationTask(labels, dict.fromkeys(labels, "wxyz " * 199 + "end."))
    assert any("wxyz end." in text for text in read(alone))
    assert sum("wxyz end." in text for text in read(many)) >= 200


def test_examples_come_in_turn_of_the_labels_that_have_some_left() -> None:
    task = ClassificationTask(("a", "b", "c"), examples={"a": ("first", "second", "third"), "c": ("other",)})
    in_turn = [("a", "first"), ("c", "other"), ("a", "second"), ("a", "third")]
    assert list(task.examples_in_turn(task.labels)) == in_turn
    assert list(task.examples_in_turn(task.labels, 2)) == in_turn[:3]
    assert list(task.examples_in_turn(task.labels, 0)) == []
    assert list(task.examples_in_turn(("b", "c"))) == [("c", "other")]


def test_of_too_many_examples_every_label_keeps_some() -> None:
    many = ("same",) * MOST_EXAMPLES
    task = ClassificationTask(("a", "b"), examples={"a": many, "b": ("first", "second")})
    read = list(task.examples_in_turn(task.labels))
    assert len(read) == MOST_EXAMPLES
    assert read[1::2][:2] == [("b", "first"), ("b", "second")]
