"""The calls of saved classifiers."""

from __future__ import annotations

import builtins
from typing import Unpack
from urllib.parse import quote

from labelworks.errors import InputError, NotFoundError
from labelworks.operations.effects import Operation
from labelworks.operations.service import Service
from labelworks.tasks import sendable
from labelworks.types import Classifier, ClassifierSummary, Task


class ClassifierOperations:
    """Each call, as an operation. A name may be pinned to a version: ``reviews@v2``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def create(self, name: str, **task: Unpack[Task]) -> Operation[Classifier]:
        """Save a task under a name: version 1 of a new name, the next version of one that is there.

        What the arguments mean: ``labelworks.types.Task``. Raises ValidationError for a name or a task that is none,
        InputError for an argument of another type.
        """
        answer = yield from self._service.call(
            "POST", "/v1/classifiers", json={"name": name, **sendable(task)}, once=True
        )
        return answer.read(Classifier.from_json)

    def list(self) -> Operation[builtins.list[ClassifierSummary]]:
        """The account's classifiers, by name."""
        answer = yield from self._service.call("GET", "/v1/classifiers")
        return answer.read(ClassifierSummary.list_from_json)

    def retrieve(self, name: str, *, version: int | None = None) -> Operation[Classifier]:
        """A classifier's newest version, or the one that is asked for. Raises NotFoundError."""
        answer = yield from self._service.call("GET", _path(name), query={"version": version})
        return answer.read(Classifier.from_json)

    def with_mode(self, task: Task) -> Operation[Task]:
        """The task with the mode that it will have, and with its classifier pinned where that says which."""
        named = task.get("classifier")
        if named is None or task.get("mode") is not None:
            return task
        saved = yield from self.retrieve(named)
        return {**task, "classifier": saved.classifier, "mode": saved.mode}

    def delete(self, name: str, *, version: int | None = None) -> Operation[None]:
        """Delete all versions, or only one. Jobs that were created with it keep what they took from it."""
        try:
            yield from self._service.call("DELETE", _path(name), query={"version": version})
        except NotFoundError as error:
            # Gone by an earlier attempt of this same call.
            if not error.repeated:
                raise


def _path(name: str) -> str:
    if not name:
        raise InputError("The classifier's name is empty; list gives all names")
    return f"/v1/classifiers/{quote(name, safe='@')}"
