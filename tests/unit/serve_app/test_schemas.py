from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from pipelines.job import JobConfig, JobRecord
from serve_app.classifier_schemas import SaveClassifier
from serve_app.preview_schemas import ClassifyText, ClassifyTexts, TagText, TagTexts
from serve_app.saved_classifier import SavedClassifier
from serve_app.schemas import BatchStatus, BatchSummary, CreateBatch

LABELS = ["billing", "bug"]
MODELS = ("minilm", "static")


def refusal(**fields: Any) -> tuple[tuple[int | str, ...], str]:
    """Where and why a request is refused."""
    with pytest.raises(ValidationError) as refused:
        CreateBatch.model_validate(fields)
    first = refused.value.errors()[0]
    return first["loc"], first["msg"]


def accepted(**fields: Any) -> JobConfig:
    return CreateBatch.model_validate(fields).config(MODELS)


def test_labels_alone_are_enough_and_the_defaults_are_the_contracts() -> None:
    assert accepted(labels=LABELS) == JobConfig(
        labels=("billing", "bug"),
        descriptions={},
        examples={},
        source_type=None,
        mode="single",
        threshold=0.3,
        model="minilm",
    )


def test_everything_that_was_sent_is_kept() -> None:
    config = accepted(
        labels=LABELS,
        descriptions={"bug": "does not work"},
        examples={"billing": ["refund me", "an invoice"]},
        source_type="app review",
        mode="multi",
        threshold=0.75,
    )
    assert config == JobConfig(
        labels=("billing", "bug"),
        descriptions={"bug": "does not work"},
        examples={"billing": ("refund me", "an invoice")},
        source_type="app review",
        mode="multi",
        threshold=0.75,
        model="minilm",
    )


@pytest.mark.parametrize("count", [1, 2, 199, 200])
def test_1_to_200_labels_are_accepted_in_their_order(count: int) -> None:
    labels = [f"label {number}" for number in range(count, 0, -1)]
    assert accepted(labels=labels).labels == tuple(labels)


def test_no_label_and_over_200_are_refused() -> None:
    assert refusal(labels=[])[0] == ("labels",)
    where, why = refusal(labels=[f"{number}" for number in range(201)])
    assert where == ("labels",)
    assert "200" in why
    assert "201" in why


@pytest.mark.parametrize("label", ["a", "x" * 100, "é" * 100, "😀" * 100, "a\nb", 'say "hi"', "\u200b", "🏳️‍🌈"])
def test_labels_of_1_to_100_characters_are_accepted(label: str) -> None:
    assert accepted(labels=[label, "other"]).labels == (label, "other")


@pytest.mark.parametrize("label", ["", " ", "\n\t ", "\u3000\u00a0", "x" * 101, "😀" * 101])
def test_labels_of_none_or_over_100_characters_are_refused(label: str) -> None:
    assert refusal(labels=["fine", label])[0] == ("labels", 1)


def test_labels_are_trimmed_before_they_are_measured_and_compared() -> None:
    assert accepted(labels=[" a ", "\tb\n", " " * 50 + "x" * 100 + " " * 50]).labels == ("a", "b", "x" * 100)
    assert "Labels must be unique" in refusal(labels=["a", " a "])[1]


def test_labels_that_differ_in_case_only_are_different() -> None:
    assert accepted(labels=["bug", "Bug"]).labels == ("bug", "Bug")


@pytest.mark.parametrize("label", [7, 1.5, True, None, ["a"], {"a": 1}])
def test_labels_that_are_no_strings_are_refused(label: Any) -> None:
    assert refusal(labels=["fine", label])[0] == ("labels", 1)


@pytest.mark.parametrize("labels", ["billing", {"billing": 1}, 7, True])
def test_labels_that_are_no_list_are_refused(labels: Any) -> None:
    assert refusal(labels=labels)[0] == ("labels",)


def test_half_of_a_surrogate_pair_is_refused_wherever_it_stands() -> None:
    assert refusal(labels=["a", "\ud800"])[0] == ("labels", 1)
    assert refusal(labels=["a"], descriptions={"a": "\ud800"})[0][0] == "descriptions"
    assert refusal(labels=["a"], descriptions={"\ud800": "a"})[0][0] == "descriptions"
    assert refusal(labels=["a"], examples={"a": ["\ud800"]})[0][0] == "examples"
    assert refusal(labels=["a"], source_type="\ud800")[0] == ("source_type",)


def test_labels_are_required() -> None:
    assert "labels is required" in refusal()[1]
    assert "labels is required" in refusal(labels=None)[1]


def saved_classifier(**fields: Any) -> SavedClassifier:
    return SavedClassifier(name="mine", version=2, created_at=datetime(2026, 11, 1, tzinfo=UTC), **fields)


def test_a_classifier_stands_for_everything_that_it_was_saved_with() -> None:
    saved = saved_classifier(
        labels=("a", "b"), descriptions={"a": "x"}, examples={"b": ("y",)}, source_type="z", mode="multi", threshold=0.7
    )
    config = CreateBatch(classifier="mine").config(MODELS, saved)
    assert config == JobConfig(
        labels=("a", "b"),
        descriptions={"a": "x"},
        examples={"b": ("y",)},
        source_type="z",
        mode="multi",
        threshold=0.7,
        classifier="mine@v2",
        model="minilm",
    )


@pytest.mark.parametrize("sent", [{"mode": "single"}, {"threshold": 0.3}, {"mode": "multi", "threshold": 0.0}])
def test_mode_and_threshold_that_are_sent_beside_a_classifier_hold_instead_of_its_own(sent: dict[str, Any]) -> None:
    saved = saved_classifier(labels=("a",), mode="multi", threshold=0.7)
    config = CreateBatch(classifier="mine", **sent).config(MODELS, saved)
    assert {"mode": config.mode, "threshold": config.threshold} == {"mode": "multi", "threshold": 0.7} | sent


@pytest.mark.parametrize("name", ["mode", "threshold"])
def test_a_mode_or_a_threshold_of_null_is_one_left_out(name: str) -> None:
    assert accepted(labels=LABELS, **{name: None}) == accepted(labels=LABELS)
    saved = saved_classifier(labels=("a",), mode="multi", threshold=0.7)
    beside = CreateBatch.model_validate({"classifier": "mine", name: None})
    assert beside.config(MODELS, saved) == CreateBatch(classifier="mine").config(MODELS, saved)
    assert beside.identity() == CreateBatch(classifier="mine").identity()
    task = SaveClassifier.model_validate({"name": "mine", "labels": LABELS, name: None}).task()
    assert (task.mode, task.threshold) == ("single", 0.3)


@pytest.mark.parametrize(
    ("schema", "name", "default"),
    [
        (CreateBatch, "mode", "single"),
        (CreateBatch, "threshold", 0.3),
        (SaveClassifier, "mode", "single"),
        (SaveClassifier, "threshold", 0.3),
        (ClassifyText, "mode", "single"),
        (TagText, "mode", "multi"),
        (TagTexts, "threshold", 0.5),
    ],
)
def test_the_description_of_a_field_that_may_be_null_tells_its_default(
    schema: type[BaseModel], name: str, default: str | float
) -> None:
    described = schema.model_json_schema()["properties"][name]
    assert described["default"] == default
    assert {"type": "null"} in described["anyOf"]


@pytest.mark.parametrize("sent", [{"mode": "single"}, {"threshold": 0.3}, {"mode": "single", "threshold": 0.3}])
def test_beside_a_classifier_a_default_that_is_sent_makes_another_request_than_one_left_out(
    sent: dict[str, Any],
) -> None:
    assert CreateBatch(classifier="mine", **sent).identity() != CreateBatch(classifier="mine").identity()
    assert CreateBatch(labels=["a"], **sent).identity() == CreateBatch(labels=["a"]).identity()


def test_what_changes_nothing_makes_no_other_request() -> None:
    assert CreateBatch(classifier="mine", cache=False).identity() == CreateBatch(classifier="mine").identity()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"descriptions": {"bug": "x", "billing": "y"}}, {"descriptions": {"billing": "y", "bug": "x"}}),
        ({"examples": {"bug": ["x"], "billing": ["y"]}}, {"examples": {"billing": ["y"], "bug": ["x"]}}),
        ({"descriptions": {}, "examples": {}}, {}),
        ({"descriptions": {"bug": ""}, "examples": {"bug": []}}, {"descriptions": None}),
        ({"text_type": "t"}, {"source_type": " t "}),
        ({"source_type": "", "mode": None}, {"threshold": 0.3}),
        ({"threshold": 1}, {"threshold": 1.0}),
        ({"labels": [" billing", "bug"]}, {"priority": 1}),
    ],
)
def test_requests_for_the_same_job_are_the_same_however_they_say_it(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (CreateBatch.model_validate({"labels": LABELS, **fields}) for fields in (one, other))
    assert first.config(MODELS) == second.config(MODELS)
    assert first.identity() == second.identity()


def test_requests_for_different_jobs_are_different() -> None:
    asked: list[dict[str, Any]] = [
        {"labels": ["a", "b"]},
        {"labels": ["b", "a"]},
        {"labels": ["a", "b"], "descriptions": {"a": "x"}},
        {"labels": ["a", "b"], "descriptions": {"b": "x"}},
        {"labels": ["a", "b"], "examples": {"a": ["x"]}},
        {"labels": ["a", "b"], "examples": {"a": ["x", "y"]}},
        {"labels": ["a", "b"], "source_type": "x"},
        {"labels": ["a", "b"], "mode": "multi"},
        {"labels": ["a", "b"], "threshold": 0.4},
        {"labels": ["a", "b"], "model": "static"},
        {"classifier": "mine"},
        {"classifier": "mine@v1"},
        {"classifier": "mine", "mode": "single"},
        {"classifier": "mine", "threshold": 0.3},
        {"classifier": "mine", "model": "static"},
    ]
    assert len({CreateBatch.model_validate(fields).identity() for fields in asked}) == len(asked)


def test_a_classifier_is_refused_together_with_labels() -> None:
    assert "not both" in refusal(classifier="mine", labels=LABELS)[1]


@pytest.mark.parametrize(
    "field", [{"descriptions": {"a": "x"}}, {"examples": {}}, {"source_type": "x"}, {"text_type": "x"}]
)
def test_what_a_classifier_was_saved_with_is_refused_beside_it(field: dict[str, Any]) -> None:
    (name,) = field
    assert f"{name} belongs to the saved classifier" in refusal(classifier="mine", **field)[1]
    CreateBatch.model_validate({"classifier": "mine", name: None})


@pytest.mark.parametrize("reference", ["", "@v1", "mine@", "mine@2", "mine@v0", "../mine", "mi ne", "mine@v1@v2"])
def test_what_cannot_be_a_classifier_is_refused(reference: str) -> None:
    assert "is written as its name" in refusal(classifier=reference)[1]


@pytest.mark.parametrize("name", ["descriptions", "examples"])
def test_keys_that_are_no_labels_are_refused_by_name(name: str) -> None:
    value: Any = "text" if name == "descriptions" else ["text"]
    why = refusal(labels=LABELS, **{name: {"bug": value, "bugs": value}})[1]
    assert f"Every key of {name} must be one of labels; 'bugs' is not" in why


@pytest.mark.parametrize("name", ["descriptions", "examples"])
def test_keys_that_are_the_same_label_once_trimmed_are_refused_by_name(name: str) -> None:
    value: Any = "text" if name == "descriptions" else ["text"]
    why = refusal(labels=LABELS, **{name: {"billing": value, "bug": value, " bug": value}})[1]
    assert f"Keys of {name} must be unique once they are trimmed; 'bug' is there more than once" in why


def test_keys_are_trimmed_as_labels_are() -> None:
    config = accepted(labels=[" bug", "billing"], descriptions={"bug ": " broken "}, examples={" billing": [" pay "]})
    assert config.descriptions == {"bug": "broken"}
    assert config.examples == {"billing": ("pay",)}


@pytest.mark.parametrize("empty", ["", " \n\t"])
def test_descriptions_and_examples_that_are_empty_are_as_if_they_were_not_there(empty: str) -> None:
    assert accepted(labels=LABELS, descriptions={"bug": empty}) == accepted(labels=LABELS)
    assert accepted(labels=LABELS, examples={"bug": [empty], "billing": []}) == accepted(labels=LABELS)
    config = accepted(labels=LABELS, descriptions={"bug": empty, "billing": "x"}, examples={"bug": [empty, "y", empty]})
    assert (config.descriptions, config.examples) == ({"billing": "x"}, {"bug": ("y",)})
    assert "'bugs' is not" in refusal(labels=LABELS, descriptions={"bugs": empty})[1]


@pytest.mark.parametrize(
    "fields",
    [
        {"descriptions": {"bug": 7}},
        {"descriptions": ["bug"]},
        {"examples": {"bug": "text"}},
        {"examples": {"bug": [None]}},
        {"examples": [["bug", "text"]]},
        {"source_type": 7},
        {"source_type": "x" * 201},
        {"mode": "Multi"},
        {"mode": "both"},
    ],
)
def test_fields_of_another_shape_are_refused(fields: dict[str, Any]) -> None:
    assert refusal(labels=LABELS, **fields)[0][0] == next(iter(fields))


def test_20_000_examples_and_1_000_000_characters_of_what_is_said_of_labels_are_accepted() -> None:
    many = {"bug": ["x"] * 10_000, "billing": ["y"] * 10_000}
    assert sum(map(len, accepted(labels=LABELS, examples=many).examples.values())) == 20_000
    long = accepted(labels=LABELS, descriptions={"bug": "x" * 600_000}, examples={"bug": [f" {'y' * 400_000}\n"]})
    assert len(long.descriptions["bug"]) + len(long.examples["bug"][0]) == 1_000_000


@pytest.mark.parametrize("schema", [CreateBatch, SaveClassifier, ClassifyText, ClassifyTexts, TagText, TagTexts])
def test_every_call_that_takes_examples_takes_no_more_than_20_000(schema: type[BaseModel]) -> None:
    own = {"name": "mine", "text": "t", "texts": ["t"]}
    fields = {name: value for name, value in own.items() if name in schema.model_fields}
    with pytest.raises(ValidationError) as refused:
        schema.model_validate({**fields, "labels": ["a"], "examples": {"a": ["x"] * 20_001}})
    assert "examples has 20,001 texts for all labels together; the limit is 20,000" in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize("threshold", [0, 1, 0.0, 1.0, 0.3, 1e-9])
def test_thresholds_from_0_to_1_are_accepted(threshold: float) -> None:
    assert accepted(labels=LABELS, threshold=threshold).threshold == threshold


@pytest.mark.parametrize(
    "threshold", [-0.0001, 1.0001, 2, -1, float("nan"), float("inf"), -float("inf"), True, False, "0.5", [0.5], 10**400]
)
def test_any_other_threshold_is_refused(threshold: Any) -> None:
    assert refusal(labels=LABELS, threshold=threshold)[0] == ("threshold",)


def test_text_type_is_another_name_of_source_type() -> None:
    assert accepted(labels=LABELS, text_type=" review ").source_type == "review"
    assert accepted(labels=LABELS, text_type="review", source_type="review").source_type == "review"
    assert "alias" in refusal(labels=LABELS, text_type="review", source_type="ticket")[1]


@pytest.mark.parametrize("source", ["", "   ", None])
def test_an_empty_source_type_is_none(source: str | None) -> None:
    assert accepted(labels=LABELS, source_type=source).source_type is None


@pytest.mark.parametrize("value", [None, "high", 5, True, {"a": [1]}])
def test_priority_and_cache_change_nothing(value: Any) -> None:
    assert accepted(labels=LABELS, priority=value, cache=value) == accepted(labels=LABELS)
    saved = SaveClassifier.model_validate({"name": "mine", "labels": LABELS, "priority": value, "cache": value})
    assert saved.task() == SaveClassifier(name="mine", labels=LABELS).task()


@pytest.mark.parametrize("name", ["label", "Labels", "treshold", "examples ", "", "labels.0", "job_id"])
def test_a_misspelt_field_does_not_pass_in_silence(name: str) -> None:
    where, why = refusal(labels=LABELS, **{name: 1})
    assert where == (name,)
    assert why == "Extra inputs are not permitted"


@given(
    labels=st.lists(st.text(max_size=110), max_size=4),
    threshold=st.one_of(st.floats(), st.integers(), st.booleans(), st.text(max_size=3)),
    mode=st.sampled_from(["single", "multi", "x"]),
)
def test_whatever_is_accepted_keeps_the_contracts_rules(labels: list[str], threshold: Any, mode: str) -> None:
    try:
        config = accepted(labels=labels, threshold=threshold, mode=mode)
    except ValidationError:
        return
    assert 1 <= len(config.labels) <= 200
    assert len(set(config.labels)) == len(config.labels)
    assert all(1 <= len(label) <= 100 for label in config.labels)
    assert 0 <= config.threshold <= 1
    assert JobConfig.model_validate_json(config.model_dump_json()) == config


def job(**fields: Any) -> JobRecord:
    return JobRecord(
        job_id="batch_0123456789abcdef",
        account="acme",
        config=JobConfig(labels=("a",), model="minilm"),
        created_at=datetime(2026, 11, 1, 12, 30, tzinfo=UTC),
        **fields,
    )


def test_times_are_in_utc_with_z() -> None:
    status = BatchStatus.of(job(started_at=datetime(2026, 11, 1, 12, 31, 5, 250_000, tzinfo=UTC)), 0.08)
    shown = status.model_dump(mode="json")
    assert (shown["created_at"], shown["started_at"]) == ("2026-11-01T12:30:00Z", "2026-11-01T12:31:05.250000Z")


def test_a_status_has_the_contracts_fields_and_ours() -> None:
    assert list(BatchStatus.of(job(), 0.08).model_dump(mode="json")) == [
        "job_id",
        "status",
        "requests_total",
        "requests_completed",
        "requests_failed",
        "estimated_tokens",
        "actual_tokens",
        "created_at",
        "started_at",
        "completed_at",
        "error",
        "phase",
        "progress",
        "rows_per_second",
        "eta_seconds",
        "cost_usd",
        "model",
        "classifier",
        "attempt",
        "expires_at",
    ]


def test_a_summary_has_the_contracts_fields() -> None:
    assert {"job_id", "status", "requests_total", "requests_completed", "created_at"} <= set(BatchSummary.model_fields)


@pytest.mark.parametrize(
    ("estimated", "actual", "cost"),
    [(None, None, None), (1_000_000, None, 0.08), (1_000_000, 500_000, 0.04), (5, 0, 0.0), (0, None, 0.0)],
)
def test_the_cost_is_of_the_estimate_until_the_tokens_are_known(
    estimated: int | None, actual: int | None, cost: float | None
) -> None:
    assert BatchStatus.of(job(estimated_tokens=estimated, actual_tokens=actual), 0.08).cost_usd == cost
