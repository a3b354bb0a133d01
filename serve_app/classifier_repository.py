"""Saved classifiers in the object storage. Anyone may read; only the registry writes, under the account's lock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pipelines.exceptions import ObjectMissing
from pipelines.job import TaskConfig
from pipelines.layout import ClassifierPaths
from pipelines.object_store import ObjectStore
from serve_app.exceptions import ClassifierNotFound, IdempotencyConflict
from serve_app.saved_classifier import ClassifierIndex, ClassifierReference, SavedClassifier


def _require_nothing() -> None:
    """For those who only read."""


class ClassifierRepository:
    """An index for each account and an object for each version. What the index does not name is not there.

    ``require_claim`` raises where this process may not write, and is called before every write.
    """

    def __init__(self, store: ObjectStore, require_claim: Callable[[], None] = _require_nothing) -> None:
        self._store = store
        self._require_claim = require_claim

    def index(self, account: str) -> ClassifierIndex:
        try:
            return ClassifierIndex.model_validate_json(self._store.get(ClassifierPaths(account).index))
        except ObjectMissing:
            return ClassifierIndex()

    def load(self, account: str, reference: ClassifierReference) -> SavedClassifier:
        """The version that is meant now. Raises ClassifierNotFound."""
        version = self.index(account).resolve(reference)
        try:
            stored = self._store.get(ClassifierPaths(account).version(reference.name, version))
        except ObjectMissing as error:
            raise ClassifierNotFound(f"Classifier {reference.name} was deleted just now.") from error
        return SavedClassifier.model_validate_json(stored)

    def save(
        self, account: str, name: str, task: TaskConfig, now: datetime, key_hash: str | None = None
    ) -> SavedClassifier:
        """The next version of ``name``, or the one that was saved with this hash of an Idempotency-Key before.

        Raises TooManyClassifiers, or IdempotencyConflict where the key came with another name or task.
        """
        paths = ClassifierPaths(account)
        index = self.index(account)
        earlier = index.saved_by(key_hash) if key_hash else None
        if earlier:
            saved = self.load(account, earlier)
            if (saved.name, saved.task_config) != (name, task):
                raise IdempotencyConflict
            return saved
        saved = SavedClassifier(name=name, version=index.next_version(name), created_at=now, **dict(task))
        changed = index.with_version(saved, key_hash)
        self._require_claim()
        # The index last: a version that it does not name yet was promised to nobody, and is written again.
        self._store.put(paths.version(name, saved.version), saved.model_dump_json().encode())
        self._put_index(paths, changed)
        return saved

    def delete(self, account: str, reference: ClassifierReference) -> None:
        """Remove the name, or the one version that is named. Raises ClassifierNotFound."""
        paths = ClassifierPaths(account)
        self._require_claim()
        index = self.index(account)
        try:
            changed = index.without(reference)
        except ClassifierNotFound:
            # An earlier deletion may have been cut off here.
            self._remove_unnamed(paths, reference.name, index)
            raise
        self._put_index(paths, changed)
        self._remove_unnamed(paths, reference.name, changed)

    def _remove_unnamed(self, paths: ClassifierPaths, name: str, index: ClassifierIndex) -> None:
        named = {paths.version(name, version) for version in index.versions(name)}
        listed = list(self._store.list(paths.versions_prefix(name)))
        self._store.delete(*(each.key for each in listed if each.key not in named))

    def _put_index(self, paths: ClassifierPaths, index: ClassifierIndex) -> None:
        self._store.put(paths.index, index.model_dump_json().encode())
