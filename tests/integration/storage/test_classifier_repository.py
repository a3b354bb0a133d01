from __future__ import annotations

import secrets
from datetime import UTC, datetime

import pytest

from pipelines.job import TaskConfig
from pipelines.layout import ClassifierPaths
from pipelines.object_store import ObjectStore
from serve_app.classifier_repository import ClassifierRepository
from serve_app.exceptions import ClassifierNotFound, IdempotencyConflict, RegistrySuperseded
from serve_app.saved_classifier import ClassifierReference, SavedClassifier

NOW = datetime(2026, 11, 1, tzinfo=UTC)
MINE = ClassifierReference("mine")


@pytest.fixture
def account() -> str:
    return f"acme-{secrets.token_hex(6)}"


@pytest.fixture
def repository(store: ObjectStore) -> ClassifierRepository:
    return ClassifierRepository(store)


def save(repository: ClassifierRepository, account: str, *labels: str) -> SavedClassifier:
    return repository.save(account, "mine", TaskConfig(labels=labels), NOW)


def test_what_was_saved_is_loaded_by_name_and_by_version(repository: ClassifierRepository, account: str) -> None:
    task = TaskConfig(
        labels=("a", 'é"\n'), descriptions={"a": "x"}, examples={"a": ("y", "z")}, source_type="s", mode="multi"
    )
    first = repository.save(account, "mine", task, NOW)
    assert (first.name, first.version, first.reference) == ("mine", 1, "mine@v1")
    assert repository.load(account, MINE) == first
    second = save(repository, account, "c")
    assert repository.load(account, MINE) == second
    assert repository.load(account, ClassifierReference("mine", 1)) == first


def test_a_repeated_request_gives_the_version_that_it_made(repository: ClassifierRepository, account: str) -> None:
    task = TaskConfig(labels=("a",), examples={"a": ("x",)})
    first = repository.save(account, "mine", task, NOW, "request-1")
    second = repository.save(account, "mine", task, NOW, "request-2")
    assert repository.save(account, "mine", task, NOW, "request-1") == first
    assert (second.version, repository.index(account).versions("mine")) == (2, (1, 2))
    for name, other in (("mine", TaskConfig(labels=("b",))), ("yours", task)):
        with pytest.raises(IdempotencyConflict):
            repository.save(account, name, other, NOW, "request-1")


def test_another_account_sees_none_of_it(repository: ClassifierRepository, account: str) -> None:
    save(repository, account, "a")
    with pytest.raises(ClassifierNotFound):
        repository.load(f"{account}-2", MINE)
    assert not repository.index(f"{account}-2").live


def test_a_deletion_removes_the_objects_and_its_numbers_are_not_used_again(
    store: ObjectStore, repository: ClassifierRepository, account: str
) -> None:
    save(repository, account, "a")
    save(repository, account, "b")
    repository.delete(account, MINE)
    assert not list(store.list(ClassifierPaths(account).versions_prefix("mine")))
    with pytest.raises(ClassifierNotFound):
        repository.load(account, MINE)
    with pytest.raises(ClassifierNotFound):
        repository.delete(account, MINE)
    assert save(repository, account, "c").version == 3
    with pytest.raises(ClassifierNotFound):
        repository.load(account, ClassifierReference("mine", 1))


def test_one_version_is_deleted_alone(repository: ClassifierRepository, account: str) -> None:
    kept = save(repository, account, "a")
    save(repository, account, "b")
    repository.delete(account, ClassifierReference("mine", 2))
    assert repository.load(account, MINE) == kept


def test_a_deletion_that_was_cut_off_is_finished_by_the_next(
    store: ObjectStore, repository: ClassifierRepository, account: str
) -> None:
    save(repository, account, "a")
    key = ClassifierPaths(account).version("mine", 1)
    left = store.get(key)
    repository.delete(account, MINE)
    store.put(key, left)
    with pytest.raises(ClassifierNotFound):
        repository.load(account, MINE)
    with pytest.raises(ClassifierNotFound):
        repository.delete(account, MINE)
    assert not store.exists(key)


def test_a_version_that_was_cut_off_before_its_index_is_written_again(
    store: ObjectStore, repository: ClassifierRepository, account: str
) -> None:
    save(repository, account, "a")
    index = store.get(ClassifierPaths(account).index)
    save(repository, account, "never heard of")
    store.put(ClassifierPaths(account).index, index)
    assert repository.load(account, MINE).labels == ("a",)
    assert save(repository, account, "b").version == 2
    assert repository.load(account, MINE).labels == ("b",)


def test_whoever_may_not_write_changes_nothing(
    store: ObjectStore, repository: ClassifierRepository, account: str
) -> None:
    def superseded() -> None:
        raise RegistrySuperseded

    saved = save(repository, account, "a")
    other = ClassifierRepository(store, superseded)
    with pytest.raises(RegistrySuperseded):
        save(other, account, "b")
    with pytest.raises(RegistrySuperseded):
        other.delete(account, MINE)
    assert other.load(account, MINE) == saved
