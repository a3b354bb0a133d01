from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.fit_adaptation import MOST_TEXTS, RANK, dump, evenly, stretching, truncated


def test_directions_of_much_variance_are_stretched_against_the_others() -> None:
    stretch = stretching([np.diag([9.0, 1.0, 1.0]), np.diag([7.0, 1.0, 1.0])])
    assert stretch == pytest.approx(np.diag(np.diag(stretch)))
    assert stretch[0, 0] > 1.1 * stretch[1, 1] == pytest.approx(1.1 * stretch[2, 2])


def test_a_change_of_low_rank_is_kept_whole_whatever_the_scale() -> None:
    random = np.random.default_rng(0)
    change = 0.1 * random.normal(size=(60, RANK)) @ random.normal(size=(RANK, 60))
    adaptation = truncated(3 * (np.eye(60) + change))
    assert adaptation.left.shape == adaptation.right.shape == (RANK, 60)
    assert adaptation.applied(np.eye(60)) == pytest.approx(np.eye(60) + change, abs=1e-6)


def test_labels_get_as_many_texts_spread_over_all() -> None:
    labelled = [(f"text {number}", int(number % 10 == 0)) for number in range(10 * MOST_TEXTS)]
    chosen = evenly(labelled)
    counts = [sum(place == wanted for _, place in chosen) for wanted in (0, 1)]
    assert max(counts) <= MOST_TEXTS
    assert min(counts) > 0.9 * MOST_TEXTS
    assert len(set(chosen)) == len(chosen)


def test_the_file_is_json_with_a_line_a_row() -> None:
    entries = {"minilm": {"left": [[1.0, 2.0], [3.0, 4.0]], "right": [[0.5, 0.25]]}}
    assert json.loads(dump(entries)) == entries
    assert "\n  [3.0, 4.0]" in dump(entries)
