from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.task import ClassificationTask, Mode, Prediction, ScoredLabel
from pipelines.ndjson import ItemError
from pipelines.results import ResultRenderer, render_error

labels = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10),
        st.sampled_from(
            ['"', "\\", 'say "hi"', "a\nb", "\r", "\x00", "😀", "é", "\u2028", "</script>", "{}", "%s", "{0}"]
        ),
    ),
    min_size=1,
    max_size=6,
    unique=True,
)
confidences = st.floats(0, 1)


def rendered(names: list[str], prediction: Prediction, mode: Mode, ids: str = "") -> str:
    return ResultRenderer(ClassificationTask(labels=tuple(names), mode=mode)).answer(prediction, ids)


def test_a_single_answer_is_the_contracts_line() -> None:
    line = rendered(["billing", "bug"], Prediction((ScoredLabel("billing", 0.941_234),), 14), "single")
    assert line == '{"label":"billing","confidence":0.9412,"tokens":14}'


def test_a_multi_answer_is_the_contracts_line() -> None:
    one = Prediction((ScoredLabel("billing", 0.941_234),), 14)
    assert rendered(["billing"], one, "multi") == '{"labels":[{"label":"billing","confidence":0.9412}],"tokens":14}'
    assert rendered(["billing"], Prediction((), 3), "multi") == '{"labels":[],"tokens":3}'


def test_an_error_is_the_contracts_line() -> None:
    line = render_error(ItemError("invalid_json", 'It says "no"\n'), "")
    assert line == '{"error":{"code":"invalid_json","message":"It says \\"no\\"\\n"}}'


def test_ids_come_first_in_every_kind_of_line() -> None:
    ids = '"id":1e400,"custom_id":"\\u00e9",'
    single = rendered(["a"], Prediction((ScoredLabel("a", 1.0),), 1), "single", ids)
    assert single == '{"id":1e400,"custom_id":"\\u00e9","label":"a","confidence":1.0,"tokens":1}'
    assert rendered(["a"], Prediction((), 1), "multi", ids).startswith('{"id":1e400,"custom_id":"\\u00e9","labels":[')
    assert render_error(ItemError("empty_text", "m"), ids).startswith('{"id":1e400,"custom_id":"\\u00e9","error":{')


@given(names=labels, scores=st.lists(confidences, min_size=6, max_size=6), tokens=st.integers(0, 10**6))
@pytest.mark.parametrize("mode", ["single", "multi"])
def test_any_label_and_confidence_make_one_line_of_valid_json(
    mode: Mode, names: list[str], scores: list[float], tokens: int
) -> None:
    kept = names[:1] if mode == "single" else names
    prediction = Prediction(tuple(map(ScoredLabel, kept, scores)), tokens)
    line = rendered(names, prediction, mode)
    assert "\n" not in line
    assert line.encode("utf-8")
    parsed = json.loads(line)
    if mode == "single":
        assert list(parsed) == ["label", "confidence", "tokens"]
        entries = [parsed]
    else:
        assert list(parsed) == ["labels", "tokens"]
        entries = parsed["labels"]
        assert all(list(entry) == ["label", "confidence"] for entry in entries)
    assert [entry["label"] for entry in entries] == kept
    assert all(abs(entry["confidence"] - score) <= 0.000_05001 for entry, score in zip(entries, scores, strict=False))
    assert parsed["tokens"] == tokens


@given(confidence=confidences)
@example(confidence=1e-5)
@example(confidence=0.00005)
@example(confidence=1e-300)
@example(confidence=0.99996)
@example(confidence=0.30000000000000004)
def test_a_confidence_is_written_plainly_with_at_most_four_decimals(confidence: float) -> None:
    line = rendered(["a"], Prediction((ScoredLabel("a", confidence),), 1), "single")
    assert re.fullmatch(r'\{"label":"a","confidence":(0\.\d{1,4}|1\.0),"tokens":1\}', line)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_confidence_that_an_engine_left_in_numpy_is_written_as_a_number(kind: type) -> None:
    line = rendered(["a"], Prediction((ScoredLabel("a", kind(0.9412)),), np.int64(5)), "single")  # type: ignore[arg-type]
    assert line == '{"label":"a","confidence":0.9412,"tokens":5}'


@given(message=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_error_message_makes_one_line_of_valid_json(message: str) -> None:
    line = render_error(ItemError("classifier_error", message), "")
    assert "\n" not in line
    assert json.loads(line) == {"error": {"code": "classifier_error", "message": message}}
