from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from models.task import Prediction, ScoredLabel
from pipelines.job import JobConfig
from pipelines.ndjson import ItemError
from serve_app.preview_classifier import PreviewAnswer
from serve_app.preview_schemas import ClassifiedBatch, ClassifyText, ClassifyTexts, TaggedBatch, TagText, TagTexts
from serve_app.saved_classifier import SavedClassifier

MODELS = ("minilm", "static")
SAVED = SavedClassifier(
    name="mine", version=2, created_at=datetime(2026, 11, 1, tzinfo=UTC), labels=("a", "b"), mode="multi", threshold=0.7
)


def test_one_label_is_asked_for_as_a_batch_in_single_and_several_as_one_in_multi() -> None:
    fields: dict[str, Any] = {"labels": ["a"], "descriptions": {"a": "x"}, "text_type": "tweet", "model": "static"}
    expected = JobConfig(labels=("a",), descriptions={"a": "x"}, source_type="tweet", model="static")
    assert ClassifyText(text="t", **fields).config(MODELS, None) == expected
    multi = expected.model_copy(update={"mode": "multi", "threshold": 0.5})
    assert TagText(text="t", **fields).config(MODELS, None) == multi
    assert TagText(text="t", threshold=0.9, **fields).config(MODELS, None).threshold == 0.9


def test_a_classifier_answers_each_call_in_the_calls_mode_and_tags_at_its_own_threshold() -> None:
    single = ClassifyText(text="t", classifier="mine").config(MODELS, SAVED)
    assert (single.mode, single.labels, single.classifier) == ("single", ("a", "b"), "mine@v2")
    assert TagText(text="t", classifier="mine").config(MODELS, SAVED).threshold == 0.7
    assert TagText(text="t", classifier="mine", threshold=0.5).config(MODELS, SAVED).threshold == 0.5


def test_a_mode_or_a_threshold_of_null_is_one_left_out() -> None:
    for saved, task in ((None, {"labels": ["a"]}), (SAVED, {"classifier": "mine"})):
        for schema in (ClassifyText, TagText):
            null = schema.model_validate({"text": "t", "mode": None, "threshold": None, **task})
            assert null.config(MODELS, saved) == schema.model_validate({"text": "t", **task}).config(MODELS, saved)


@pytest.mark.parametrize(
    ("schema", "fields", "where"),
    [
        (ClassifyText, {"labels": ["a"]}, "text"),
        (ClassifyText, {"labels": ["a"], "text": 7}, "text"),
        (ClassifyText, {"labels": ["a"], "text": "t", "mode": "multi"}, "mode"),
        (ClassifyText, {"labels": ["a"], "text": "t", "texts": ["t"]}, "texts"),
        (TagText, {"labels": ["a"], "text": "t", "mode": "single"}, "mode"),
        (TagText, {"labels": ["a"], "text": "t", "threshold": 1.1}, "threshold"),
        (ClassifyTexts, {"labels": ["a"], "texts": []}, "texts"),
        (ClassifyTexts, {"labels": ["a"], "texts": ["t"] * 1001}, "texts"),
        (TagTexts, {"labels": ["a"], "texts": "t"}, "texts"),
        (TagTexts, {"labels": ["a"], "texts": ["t", None]}, "texts"),
        (TagTexts, {"labels": ["a"], "texts": ["t"], "lables": 1}, "lables"),
    ],
)
def test_a_field_that_breaks_a_rule_is_refused(schema: type[BaseModel], fields: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as refused:
        schema.model_validate(fields)
    assert refused.value.errors()[0]["loc"][0] == where


@pytest.mark.parametrize(("cache", "expected"), [(None, True), (True, True), ("no", True), (0, True), (False, False)])
def test_cache_false_alone_asks_for_a_fresh_answer(cache: Any, expected: bool) -> None:
    assert ClassifyText(text="t", labels=["a"], cache=cache, priority="high").may_be_cached is expected


def test_answers_are_shown_in_order_with_errors_in_their_places() -> None:
    prediction = Prediction((ScoredLabel("a", 0.91239),), 7)
    given = [
        PreviewAnswer(prediction, cached=False),
        PreviewAnswer(ItemError("empty_text", "empty"), cached=False),
        PreviewAnswer(prediction, cached=True),
    ]
    assert ClassifiedBatch.of(given, 1.5).model_dump() == {
        "results": [
            {"label": "a", "confidence": 0.9124, "tokens": 7, "cached": False},
            {"error": {"code": "empty_text", "message": "empty"}},
            {"label": "a", "confidence": 0.9124, "tokens": 7, "cached": True},
        ],
        "total_tokens": 14,
        "latency_ms": 1.5,
    }
    tagged = TaggedBatch.of([PreviewAnswer(Prediction((), 3), cached=False), given[0]], 1.5)
    assert [each["labels"] for each in tagged.model_dump()["results"]] == [[], [{"label": "a", "confidence": 0.9124}]]
