"""Classifiers, keys, usage and preview calls by both clients, over real sockets."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest

from labelworks.errors import APIConnectionError, InputError, NotFoundError, ServerError
from tests.unit.labelworks.conftest import Perform
from tests.unit.labelworks.fake_service import LOST, FakeService


def test_a_classifier_gets_a_version_each_time_it_is_saved(perform: Perform) -> None:
    perform("classifiers.create")("reviews", labels=["a"])
    second = perform("classifiers.create")("reviews", labels=["a", "b"], mode="multi", threshold=0.4)
    assert (second.version, second.classifier, second.threshold) == (2, "reviews@v2", 0.4)
    (listed,) = perform("classifiers.list")()
    assert (listed.name, listed.version, list(listed.versions), listed.label_count) == ("reviews", 2, [1, 2], 2)
    assert perform("classifiers.retrieve")("reviews@v1").labels == ["a"]


def test_a_version_is_asked_for_by_number(perform: Perform, service: FakeService) -> None:
    perform("classifiers.create")("reviews", labels=["a"])
    perform("classifiers.retrieve")("reviews", version=1)
    perform("classifiers.delete")("reviews", version=1)
    assert service.account.asked[1:] == [
        ("GET /v1/classifiers/reviews", {"version": "1"}),
        ("DELETE /v1/classifiers/reviews", {"version": "1"}),
    ]


def test_a_lost_answer_makes_no_second_version(perform: Perform, service: FakeService) -> None:
    service.misbehave("POST /v1/classifiers", lose_answer=True)
    assert perform("classifiers.create")("reviews", labels=["a"]).version == 1
    assert len(service.requests_to("POST /v1/classifiers")) == 2
    assert len(service.account.classifiers["reviews"]) == 1


@pytest.mark.parametrize("how", [{"lose_answer": True}, {"status": 500}, {"status": 502}, {"status": 504}])
def test_a_key_whose_answer_was_lost_is_not_made_again(
    perform: Perform, service: FakeService, how: dict[str, Any]
) -> None:
    service.misbehave("POST /v1/keys", **how)
    with pytest.raises((APIConnectionError, ServerError)):
        perform("keys.create")()
    assert len(service.requests_to("POST /v1/keys")) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_key_that_was_not_made_is_asked_for_again(perform: Perform, service: FakeService, status: int) -> None:
    service.misbehave("POST /v1/keys", status=status)
    assert perform("keys.create")().id == "key_0"


def test_a_key_that_is_not_there_was_not_revoked_by_an_attempt_that_was_turned_away(
    perform: Perform, service: FakeService
) -> None:
    service.misbehave("DELETE", status=503)
    with pytest.raises(NotFoundError):
        perform("keys.revoke")("key_7")


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize(("group", "call"), [("classifiers", "delete"), ("keys", "revoke")])
def test_a_lost_answer_to_a_deletion_is_no_error(
    perform: Perform, service: FakeService, group: str, call: str, how: dict[str, Any]
) -> None:
    perform("classifiers.create")("key_0", labels=["a"])
    perform("keys.create")()
    service.misbehave("DELETE", **how)
    perform(f"{group}.{call}")("key_0")
    with pytest.raises(NotFoundError):
        perform(f"{group}.{call}")("key_0")


def test_a_frame_takes_the_mode_of_its_saved_classifier(perform: Perform, service: FakeService) -> None:
    perform("classifiers.create")("tags", labels=["a"], mode="multi")
    joined = perform("classify")(pd.DataFrame({"text": ["x"]}), classifier="tags")
    assert "labels" in joined.columns
    (job,) = service.jobs.values()
    assert job.task == {"classifier": "tags@v1", "mode": "multi"}


def test_a_classifier_of_none_is_no_classifier(perform: Perform) -> None:
    joined = perform("classify")(pd.DataFrame({"text": ["x"]}), classifier=None, labels=["a"])
    assert joined["label"].tolist() == ["a"]


def test_the_secret_of_a_key_is_in_the_answer_but_not_in_its_repr(perform: Perform, service: FakeService) -> None:
    expires_at = datetime(2027, 1, 31, tzinfo=UTC)
    created = perform("keys.create")(name="nightly", expires_at=expires_at)
    assert (created.key, created.name, created.expires_at) == ("lw_secret", "nightly", expires_at)
    assert "lw_secret" not in repr(created)
    assert [key.id for key in perform("keys.list")()] == [created.id]
    perform("keys.revoke")(created.id)
    assert service.account.keys == {}


def test_a_time_without_a_zone_is_refused_before_it_is_sent(perform: Perform, service: FakeService) -> None:
    with pytest.raises(InputError, match="time zone"):
        perform("keys.create")(expires_at=datetime(2027, 1, 31))
    assert service.seen == []


def test_the_operator_names_the_account(perform: Perform, service: FakeService) -> None:
    perform("keys.create")(account="acme")
    perform("keys.list")(account="acme")
    perform("keys.revoke")("key_0", account="acme")
    assert service.account.asked[1:] == [
        ("GET /v1/keys", {"account": "acme"}),
        ("DELETE /v1/keys/key_0", {"account": "acme"}),
    ]


def test_usage_comes_by_day_and_in_all(perform: Perform, service: FakeService) -> None:
    report = perform("usage.retrieve")(date(2026, 11, 1), date(2026, 11, 24))
    assert service.account.asked == [("GET /v1/usage", {"from": "2026-11-01", "to": "2026-11-24"})]
    assert [(day.date, day.jobs) for day in report.days] == [(date(2026, 11, 1), 1)]
    assert (report.total.items, report.total.items_failed, report.total.tokens) == (3, 1, 40)


def test_a_day_of_usage_may_be_a_string(perform: Perform, service: FakeService) -> None:
    perform("usage.retrieve")("2026-11-01", "2026-11-24")
    assert service.account.asked == [("GET /v1/usage", {"from": "2026-11-01", "to": "2026-11-24"})]
    with pytest.raises(InputError, match="'yesterday' is not a day; write one as 2026-11-25"):
        perform("usage.retrieve")("yesterday")
    assert len(service.seen) == 1


def test_preview_answers_one_text_or_many(perform: Perform) -> None:
    result = perform("preview.classify")("x", labels=["a"])
    assert (result.label, result.confidence, result.cached, result.latency_ms) == ("a", 0.9, False, 1.5)
    assert [scored.label for scored in perform("preview.tag")("x", labels=["a"]).labels] == ["a"]
    for call in ("classify_batch", "tag_batch"):
        first, second = perform(f"preview.{call}")(iter(["x", ""]), labels=["a"])
        assert (first.label, first.error, second.label, second.error.code) == ("a", None, None, "empty_text")
