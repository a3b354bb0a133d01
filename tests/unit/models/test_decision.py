from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import decide
from models.exceptions import UnusableProbabilities
from models.task import ClassificationTask, Prediction, ScoredLabel

SINGLE = ClassificationTask(labels=("a", "b", "c"))
MULTI = ClassificationTask(labels=("a", "b", "c"), mode="multi", threshold=0.3)


def test_single_answers_with_the_likeliest_label() -> None:
    assert decide(SINGLE, np.array([[0.2, 0.5, 0.3]]), [7]) == [Prediction((ScoredLabel("b", 0.5),), 7)]


def test_of_equally_likely_labels_the_one_named_first_answers() -> None:
    (prediction,) = decide(SINGLE, np.array([[0.2, 0.4, 0.4]]), [1])
    assert prediction.labels == (ScoredLabel("b", 0.4),)


def test_labels_that_only_look_alike_when_rounded_are_told_apart() -> None:
    (prediction,) = decide(SINGLE, np.array([[0.2, 0.40000, 0.40001]]), [1])
    assert prediction.labels == (ScoredLabel("c", 0.4),)


def test_multi_answers_with_all_labels_over_the_threshold_best_first() -> None:
    (prediction,) = decide(MULTI, np.array([[0.4, 0.1, 0.9]]), [1])
    assert prediction.labels == (ScoredLabel("c", 0.9), ScoredLabel("a", 0.4))


def test_multi_may_answer_with_no_label() -> None:
    assert decide(MULTI, np.array([[0.1, 0.1, 0.2]]), [4]) == [Prediction((), 4)]


@pytest.mark.parametrize(("probability", "answered"), [(0.3, True), (0.29996, True), (0.29994, False)])
def test_the_threshold_is_applied_to_the_confidence_as_it_is_printed(probability: float, answered: bool) -> None:
    (prediction,) = decide(MULTI, np.array([[probability, 0.0, 0.0]]), [1])
    assert bool(prediction.labels) is answered
    assert all(label.confidence >= MULTI.threshold for label in prediction.labels)


def test_a_threshold_of_zero_lets_every_label_through_in_order() -> None:
    task = ClassificationTask(labels=("a", "b", "c"), mode="multi", threshold=0.0)
    (prediction,) = decide(task, np.array([[0.0, 0.2, 0.2]]), [1])
    assert [label.label for label in prediction.labels] == ["b", "c", "a"]


@pytest.mark.parametrize("task", [SINGLE, MULTI], ids=["single", "multi"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_probability_that_is_no_finite_number_is_never_an_answer(task: ClassificationTask, value: float) -> None:
    rows = np.array([[0.2, 0.5, 0.3], [0.2, value, 0.3]])
    with pytest.raises(UnusableProbabilities, match="1 of 2 texts"):
        decide(task, rows, [1, 1])


def test_no_texts_give_no_predictions() -> None:
    assert decide(SINGLE, np.zeros((0, 3)), []) == []


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), max_size=6),
    st.sampled_from(["single", "multi"]),
    st.floats(0, 1),
)
def test_confidences_have_four_decimals_and_lie_between_none_and_one(
    rows: list[list[float]], mode: str, threshold: float
) -> None:
    task = ClassificationTask(("a", "b", "c"), mode="multi" if mode == "multi" else "single", threshold=threshold)
    for prediction in decide(task, np.array(rows).reshape(-1, 3), [1] * len(rows)):
        confidences = [label.confidence for label in prediction.labels]
        assert confidences == sorted(confidences, reverse=True)
        assert confidences == [round(confidence, 4) for confidence in confidences]
        assert all(0 <= confidence <= 1 for confidence in confidences)
        if mode == "single":
            assert len(confidences) == 1
        else:
            assert all(confidence >= threshold for confidence in confidences)
