from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.calibration import (
    KINDS,
    LIKE,
    Kind,
    calibration,
    label_probabilities,
    multi_probabilities,
    request_kind,
    sigmoid,
    single_probabilities,
)
from models.registry import engine_names
from models.task import ClassificationTask

TASK = ClassificationTask(labels=("a", "b", "c"))
SCORES = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(2, 5)), elements=st.floats(-1e3, 1e3, allow_nan=False)
)


def test_a_request_is_of_the_kind_of_the_most_it_says() -> None:
    assert request_kind(TASK) == "labels"
    assert request_kind(ClassificationTask(TASK.labels, {"a": "x"})) == "labels"
    assert request_kind(ClassificationTask(TASK.labels, {"a": "x", "b": "y"})) == "descriptions"
    assert request_kind(ClassificationTask(TASK.labels, {"a": "x", "b": " "})) == "labels"
    assert request_kind(ClassificationTask(TASK.labels, {}, {"c": ("z",)})) == "examples"
    assert request_kind(ClassificationTask(TASK.labels, {}, {"c": ()})) == "labels"


@pytest.mark.parametrize("kind", KINDS)
def test_a_better_score_is_never_less_likely(kind: Kind) -> None:
    for engine in ("minilm", "static", "blend"):
        numbers = calibration(engine, kind)
        assert numbers.single > 0
        assert numbers.multi[1] >= 0
        assert numbers.multi[2] >= 0
        assert numbers.detection[1] > 0


def test_an_engine_that_was_never_fitted_is_taken_for_the_default_one() -> None:
    assert engine_names()[0] == LIKE
    assert calibration("never heard of", "labels") == calibration(LIKE, "labels")
    assert calibration("static", "labels") != calibration(LIKE, "labels")


@given(SCORES)
def test_shares_of_any_log_odds_sum_to_one(logits: npt.NDArray[np.float64]) -> None:
    shares = single_probabilities(logits)
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(logits)))
    assert (shares[np.arange(len(logits)), logits.argmax(axis=1)] == shares.max(axis=1)).all()


def test_labels_share_the_probability_only_where_one_of_several_is_asked_for() -> None:
    even = np.zeros((1, 3))
    assert label_probabilities(TASK, even)[0] == pytest.approx([1 / 3] * 3)
    assert label_probabilities(replace(TASK, mode="multi"), even)[0] == pytest.approx([0.5] * 3)
    assert label_probabilities(ClassificationTask(("a",)), even[:, :1])[0] == pytest.approx([0.5])


@given(SCORES)
def test_multi_probabilities_keep_the_order_of_scores(scores: npt.NDArray[np.float64]) -> None:
    found = multi_probabilities(scores, 12.0, (0.5, 3.0, 12.0))
    assert ((found >= 0) & (found <= 1)).all()
    for row, values in zip(found, scores, strict=True):
        assert (np.diff(row[np.argsort(values, kind="stable")]) >= 0).all()


def test_multi_lets_two_labels_that_both_fit_be_likely() -> None:
    numbers = calibration("minilm", "labels").multi
    both = multi_probabilities(np.array([[0.3, 0.3, -0.3, -0.3]]), 12.0, numbers)[0]
    assert both[0] > 0.3
    assert both[1] > 0.3
    assert both[2] < 0.1


def test_the_sigmoid_takes_any_log_odds() -> None:
    assert sigmoid(np.array([-1e9, 0.0, 1e9])).tolist() == pytest.approx([0.0, 0.5, 1.0])
