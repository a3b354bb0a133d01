"""Tasks of what people hold them in: arrays, Series, sets."""

from __future__ import annotations

import json
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labelworks.errors import InputError
from tests.unit.labelworks.conftest import Perform
from tests.unit.labelworks.fake_service import FakeService

CALLS = [
    ("classify", ["x"]),
    ("classify", pd.DataFrame({"text": ["x"]})),
    ("batches.create", None),
    ("classifiers.create", "reviews"),
    ("preview.classify", "x"),
    ("preview.tag", "x"),
    ("preview.classify_batch", ["x"]),
    ("preview.tag_batch", ["x"]),
]


def asked(perform: Perform, service: FakeService, call: str, given: Any, **task: Any) -> dict[str, Any]:
    """The task that a call sent."""
    perform(call)(*([] if given is None else [given]), **task)
    sent = next(seen for seen in service.seen if seen.method == "POST")
    return {name: value for name, value in json.loads(sent.body).items() if name not in ("name", "text", "texts")}


@pytest.mark.parametrize(("call", "given"), CALLS)
def test_every_call_takes_an_array_and_names_a_type_that_it_does_not_take(
    perform: Perform, service: FakeService, call: str, given: Any
) -> None:
    with pytest.raises(InputError, match="labels is a str, 'abc'; expected a list of strings"):
        asked(perform, service, call, given, labels="abc")
    assert not service.seen
    assert asked(perform, service, call, given, labels=np.array(["a", "b"])) == {"labels": ["a", "b"]}


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series(["a", "b"], index=[7, 9]),
        pd.Index(["a", "b"]),
        {"b", "a"},
        {"a": 1, "b": 2}.keys(),
        ("a", "b"),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_labels_may_be_in_anything_that_holds_strings(perform: Perform, service: FakeService, labels: Any) -> None:
    assert asked(perform, service, "batches.create", None, labels=labels) == {"labels": ["a", "b"]}


def test_every_field_is_sent_as_json_has_it(perform: Perform, service: FakeService) -> None:
    task = {
        "labels": ["a"],
        "descriptions": MappingProxyType({"a": np.str_("first")}),
        "examples": MappingProxyType({"a": pd.Series(["x", "y"])}),
        "source_type": None,
        "mode": np.str_("multi"),
        "a_field_of_a_later_version": 1,
    }
    assert asked(perform, service, "batches.create", None, **task) == {
        "labels": ["a"],
        "descriptions": {"a": "first"},
        "examples": {"a": ["x", "y"]},
        "source_type": None,
        "mode": "multi",
        "a_field_of_a_later_version": 1,
    }


@pytest.mark.parametrize("threshold", [np.float32(0.5), np.float64(0.5), Decimal("0.5"), 0.5])
def test_a_threshold_may_be_any_real_number(perform: Perform, service: FakeService, threshold: Any) -> None:
    assert asked(perform, service, "preview.tag", "x", labels=["a"], threshold=threshold)["threshold"] == 0.5


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"labels": {"a": "first"}}, "labels is a dict, .*; expected a list of strings"),
        ({"labels": 5}, "labels is a int, 5; expected a list of strings"),
        ({"labels": np.array("abc")}, "labels is a ndarray, .*; expected a list of strings"),
        ({"labels": np.array([1, 2])}, r"labels\[0\] is a int64, .*; expected a string"),
        ({"labels": ["a", float("nan")]}, r"labels\[1\] is a float, nan; expected a string"),
        ({"labels": {"a", 1}}, "labels is a set, .*; expected a list of strings"),
        ({"labels": ["a"], "descriptions": ["first"]}, "descriptions is a list, .*; expected a mapping by label"),
        ({"labels": ["a"], "descriptions": {"a": None}}, r"descriptions\['a'\] is a NoneType, None; expected a string"),
        ({"labels": ["a"], "descriptions": {1: "x"}}, "A label in descriptions is a int, 1; expected a string"),
        ({"labels": ["a"], "examples": {"a": "x"}}, r"examples\['a'\] is a str, 'x'; expected a list of strings"),
        ({"labels": ["a"], "examples": {"a": [1]}}, r"examples\['a'\]\[0\] is a int, 1; expected a string"),
        ({"labels": ["a"], "threshold": "0.5"}, "threshold is a str, '0.5'; expected a number"),
        ({"labels": ["a"], "threshold": True}, "threshold is a bool, True; expected a number"),
        ({"labels": ["a"], "threshold": float("nan")}, "threshold is a float, nan; expected a number"),
        ({"labels": ["a"], "model": np.int64(5)}, "model is a int64, .*; expected a string"),
        ({"classifier": b"reviews"}, "classifier is a bytes, b'reviews'; expected a string"),
    ],
)
def test_an_argument_of_another_type_is_named_before_anything_is_sent(
    perform: Perform, service: FakeService, task: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=f"^{reason}"):
        perform("batches.create")(**task)
    assert not service.seen


def test_an_argument_of_another_type_is_named_before_the_texts_are_read(perform: Perform) -> None:
    texts = iter(["x"])
    with pytest.raises(InputError, match="labels is a str"):
        perform("classify")(texts, labels="abc")
    with pytest.raises(InputError, match="labels is a str"):
        perform("classify_file")("none.csv", labels="abc")
    assert list(texts) == ["x"]


@pytest.mark.parametrize("call", ["preview.classify_batch", "preview.tag_batch"])
def test_texts_to_preview_are_strings(perform: Perform, service: FakeService, call: str) -> None:
    assert [result.label for result in perform(call)(pd.Series(["x", "y"]), labels=["a"])] == ["a", "a"]
    sent = len(service.seen)
    for missing, reason in ((float("nan"), "float, nan"), (pd.NA, "NAType, <NA>"), (b"y", "bytes, b'y'")):
        with pytest.raises(InputError, match=f"Text 2 is a {reason}; expected a string"):
            perform(call)(pd.Series(["x", missing], dtype=object), labels=["a"])
    with pytest.raises(InputError, match="One str was passed; expected a list of the texts"):
        perform(call)("abc", labels=["a"])
    with pytest.raises(InputError, match="The text is a float, nan; expected a string"):
        perform(call.removesuffix("_batch"))(float("nan"), labels=["a"])
    assert len(service.seen) == sent


def test_half_of_a_surrogate_pair_is_for_the_service_to_answer(perform: Perform, service: FakeService) -> None:
    perform("preview.classify")("\ud83d half", labels=["\u00fcmlaut"])
    (seen,) = service.seen
    assert json.loads(seen.body) == {"text": "\ud83d half", "labels": ["\u00fcmlaut"]}
    assert seen.headers["Content-Type"] == "application/json"


def test_texts_are_sent_in_as_few_bytes_as_they_have(perform: Perform, service: FakeService) -> None:
    perform("preview.classify")("\u043f\u0440\u0438\u0432\u0435\u0442" * 100, labels=["a"])
    (seen,) = service.seen
    assert len(seen.body) < 1300
