from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.layout import CLASSIFIER_NAME_PATTERN, ClassifierPaths
from serve_app import saved_classifier
from serve_app.classifier_schemas import SaveClassifier
from serve_app.exceptions import ClassifierNotFound, TooManyClassifiers
from serve_app.saved_classifier import ClassifierIndex, ClassifierReference, SavedClassifier

NOW = datetime(2026, 11, 1, tzinfo=UTC)
names = st.from_regex(CLASSIFIER_NAME_PATTERN, fullmatch=True)
versions = st.integers(1, 999_999_999)


def reference(text: str) -> ClassifierReference:
    return ClassifierReference.parse(text)


def saved(index: ClassifierIndex, name: str) -> tuple[ClassifierIndex, int]:
    """The index with the next version of ``name``, and that version."""
    version = index.next_version(name)
    made = SavedClassifier(name=name, version=version, created_at=NOW, labels=("a", "b"))
    return index.with_version(made), version


@given(name=names, version=st.none() | versions)
def test_a_reference_is_read_as_it_was_written(name: str, version: int | None) -> None:
    written = ClassifierReference(name, version)
    assert reference(str(written)) == written


@given(st.text(max_size=70))
def test_any_text_is_a_reference_or_refused_and_never_leaves_its_folder(text: str) -> None:
    try:
        found = reference(text)
    except ValueError:
        return
    assert str(found) == text
    path = ClassifierPaths("acme").version(found.name, found.version or 1)
    assert path == f"classifiers/acme/versions/{found.name}/{found.version or 1}.json"
    assert found.name not in ("", ".", "..")
    assert "/" not in found.name


@pytest.mark.parametrize("text", ["a@v0", "a@v01", "a@v-1", "a@v1000000000", "a@V1", "a@v1 ", "a@v١", "a\n", "é", ".a"])
def test_what_is_nearly_a_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is written as its name"):
        reference(text)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a@v1", "-a", "a\n", "é", "x" * 65, "a b"])
def test_a_name_that_must_not_become_a_path_is_refused_wherever_it_comes_from(name: str) -> None:
    with pytest.raises(ValueError, match="not a classifier's name"):
        ClassifierPaths("acme").versions_prefix(name)
    with pytest.raises(ValidationError):
        SaveClassifier.model_validate({"name": name, "labels": ["a"]})


@pytest.mark.parametrize("account", ["", "../x", "A", "a/b"])
def test_an_account_that_must_not_become_a_path_is_refused(account: str) -> None:
    with pytest.raises(ValueError, match="not an account name"):
        ClassifierPaths(account)


def test_the_name_means_the_newest_version_and_a_pin_its_own() -> None:
    index = ClassifierIndex()
    for expected in (1, 2, 3):
        index, version = saved(index, "mine")
        assert version == expected
    assert index.resolve(reference("mine")) == 3
    assert index.resolve(reference("mine@v2")) == 2
    for unknown in ("mine@v4", "other", "Mine"):
        with pytest.raises(ClassifierNotFound, match=r"no classifier|no version 4"):
            index.resolve(reference(unknown))


def test_deleting_the_newest_version_makes_the_one_before_it_the_newest() -> None:
    index = ClassifierIndex()
    for _ in range(3):
        index, _ = saved(index, "mine")
    index = index.without(reference("mine@v3"))
    assert index.versions("mine") == (1, 2)
    assert index.resolve(reference("mine")) == 2
    assert saved(index, "mine")[1] == 4


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["save", "delete", "delete one"])), max_size=40))
def test_no_version_number_is_given_out_twice_whatever_is_deleted(changes: list[tuple[str, str]]) -> None:
    index = ClassifierIndex()
    given_out: set[tuple[str, int]] = set()
    for name, change in changes:
        if change == "save":
            index, version = saved(index, name)
            assert (name, version) not in given_out
            given_out.add((name, version))
        elif index.versions(name):
            gone = ClassifierReference(name, index.versions(name)[0] if change == "delete one" else None)
            index = index.without(gone)
            with pytest.raises(ClassifierNotFound):
                index.resolve(gone)
        index = ClassifierIndex.model_validate_json(index.model_dump_json())


def test_an_account_has_a_limit_of_versions_that_deleting_frees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_classifier, "MAX_VERSIONS", 2)
    index, _ = saved(ClassifierIndex(), "a")
    index, _ = saved(index, "b")
    with pytest.raises(TooManyClassifiers, match="have 2 versions together; the limit is 2"):
        saved(index, "a")
    assert saved(index.without(reference("b")), "a")[1] == 2


def test_deleted_names_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_classifier, "MAX_RETIRED", 2)
    index = ClassifierIndex()
    for name in "abc":
        index = saved(index, name)[0].without(reference(name))
    assert [index.next_version(name) for name in "abc"] == [1, 2, 2]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"labels": ["a"]}, "name"),
        ({"name": "mine"}, "labels"),
        ({"name": "mine", "labels": ["a", "a"]}, "labels"),
        ({"name": "mine", "labels": ["a"], "descriptions": {"b": "x"}}, "descriptions"),
        ({"name": "mine", "labels": ["a"], "threshold": 2}, "threshold"),
        ({"name": "mine", "labels": ["a"], "model": "minilm"}, "model"),
        ({"name": "mine", "labels": ["a"], "version": 3}, "version"),
    ],
)
def test_a_classifier_that_breaks_a_rule_is_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SaveClassifier.model_validate(fields)
    first = refused.value.errors()[0]
    where = first["ctx"]["error"].field if first["type"] == "value_error" else first["loc"][0]
    assert where == field
