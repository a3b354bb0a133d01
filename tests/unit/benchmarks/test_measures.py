from __future__ import annotations

import numpy as np
import pytest

from benchmarks.measures import average_precision, best_micro_f1, macro_f1, micro_f1, reliability

TRUTH = np.array([[True, False, False], [True, False, False], [False, True, False], [False, True, False]])
CHOSEN = np.array([[True, False, False], [False, True, False], [False, True, False], [False, True, False]])


def test_macro_f1_is_the_mean_over_the_labels_that_occur() -> None:
    assert macro_f1(TRUTH, CHOSEN) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_micro_f1_counts_all_pairs_of_text_and_label() -> None:
    assert micro_f1(TRUTH, CHOSEN) == pytest.approx(3 / 4)


def test_answers_that_are_right_as_often_as_they_say_have_no_calibration_error() -> None:
    confidence = np.repeat([0.25, 0.75], 4)
    right = np.array([True, False, False, False, True, True, True, False])
    assert reliability(confidence, right).error == pytest.approx(0)
    assert reliability(confidence, np.ones(8, bool)).error == pytest.approx(0.5)


def test_a_confidence_of_one_lies_in_the_last_bin() -> None:
    curve = reliability(np.array([1.0, 0.99]), np.array([True, True]))
    assert curve.share == (1.0,)


def test_average_precision_is_one_for_a_perfect_order_and_the_base_rate_for_ties() -> None:
    perfect = TRUTH * 0.5 + 0.1
    assert average_precision(TRUTH, perfect) == pytest.approx(1)
    assert average_precision(TRUTH, np.full(TRUTH.shape, 0.4)) == pytest.approx(0.5)


def test_average_precision_of_a_known_order() -> None:
    truth = np.array([[True], [False], [True], [False]])
    assert average_precision(truth, np.array([[0.9], [0.8], [0.7], [0.6]])) == pytest.approx((1 + 2 / 3) / 2)


def test_the_best_threshold_is_searched() -> None:
    confidence = np.where(TRUTH, 0.12, 0.05)
    assert micro_f1(TRUTH, confidence >= 0.3) == 0
    assert best_micro_f1(TRUTH, confidence) == pytest.approx(1)
