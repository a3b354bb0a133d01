"""Answers preview requests as a job would. Knows neither Ray nor HTTP."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from models.exceptions import ModelError
from models.protocol import Classifier, Engine
from models.task import Prediction
from pipelines.exceptions import LabelworksError
from pipelines.job import JobConfig
from pipelines.logs import Field, current_request, log_fields
from pipelines.ndjson import ItemError, text_error
from pipelines.range_classifier import answer_texts
from serve_app.exceptions import ModelUnusable
from serve_app.recently_used import RecentlyUsed

logger = logging.getLogger(__name__)

BOUND_TASKS = 32
REMEMBERED_ANSWERS = 2_000


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """Texts for one task. ``may_be_cached``: an answer that was given to the account before will do.

    ``request_id`` is that of the call it is made for, which log lines about it carry.
    """

    account: str
    config: JobConfig
    texts: tuple[str, ...]
    may_be_cached: bool = True
    request_id: str | None = field(default_factory=current_request)

    @property
    def characters(self) -> int:
        """Those of the texts and of what is to be read of the task."""
        task = self.config
        read = chain(self.texts, task.labels, task.descriptions.values(), *task.examples.values())
        return sum(map(len, read))


@dataclass(frozen=True, slots=True)
class PreviewAnswer:
    """A text's answer, and whether it is one that was given to the account before."""

    outcome: Prediction | ItemError
    cached: bool


class _NoClassifier(Exception):
    """The task itself cannot be classified into, whatever the texts."""


class PreviewClassifier:
    """Keeps engines, the tasks bound last and the latest answers. Not thread-safe."""

    def __init__(self, load_engine: Callable[[str], Engine]) -> None:
        self._load_engine = load_engine
        self._engines: dict[str, Engine] = {}
        self._bound: RecentlyUsed[bytes, Classifier] = RecentlyUsed(BOUND_TASKS)
        self._answers: RecentlyUsed[bytes, Prediction | ItemError] = RecentlyUsed(REMEMBERED_ANSWERS)

    def answer(self, requests: Sequence[PreviewRequest]) -> list[list[PreviewAnswer] | LabelworksError]:
        """An answer for each text of each request, or why a request has none. Texts of one task go together."""
        tasks = [_digest(request.config.model_dump_json(exclude={"classifier"}).encode()) for request in requests]
        members = defaultdict(list)
        for number, task in enumerate(tasks):
            members[task].append(number)
        answered: dict[int, list[PreviewAnswer] | LabelworksError] = {}
        for task, numbers in members.items():
            group = [requests[number] for number in numbers]
            answered.update(zip(numbers, self._answer_group(task, group), strict=True))
        return [answered[number] for number in range(len(requests))]

    def _answer_group(
        self, task: bytes, requests: Sequence[PreviewRequest]
    ) -> list[list[PreviewAnswer] | LabelworksError]:
        """Where the group fails its requests are answered one by one: they may be of different accounts."""
        with log_fields(**_callers(requests)):
            try:
                return [*self._answer_task(task, requests)]
            except Exception as error:
                logger.exception("previews of model %s failed: %d requests", requests[0].config.model, len(requests))
                if len(requests) == 1 or isinstance(error, _NoClassifier):
                    unusable = isinstance(error.__cause__, ModelError | ImportError)
                    failure = ModelUnusable.named(requests[0].config.model) if unusable else LabelworksError()
                    return [failure] * len(requests)
        return [answer for request in requests for answer in self._answer_group(task, [request])]

    def _answer_task(self, task: bytes, requests: Sequence[PreviewRequest]) -> list[list[PreviewAnswer]]:
        known = [{text: self._known(task, each, text) for text in each.texts} for each in requests]
        missing = dict.fromkeys(text for answers in known for text, answer in answers.items() if answer is None)
        fresh = self._classify(task, requests[0].config, list(missing))
        for each in requests:
            for text in fresh.keys() & set(each.texts):
                self._answers.put(_answer_key(task, each.account, text), fresh[text].outcome)
        return [
            [answers[text] or fresh[text] for text in each.texts] for each, answers in zip(requests, known, strict=True)
        ]

    def _known(self, task: bytes, request: PreviewRequest, text: str) -> PreviewAnswer | None:
        """What needs no classifier: the error of a text that none can read, or the answer given before."""
        error = text_error(text)
        if error is not None:
            return PreviewAnswer(error, cached=False)
        again = self._answers.get(_answer_key(task, request.account, text)) if request.may_be_cached else None
        return None if again is None else PreviewAnswer(again, cached=True)

    def _classify(self, task: bytes, config: JobConfig, texts: list[str]) -> dict[str, PreviewAnswer]:
        if not texts:
            return {}
        outcomes = answer_texts(self._classifier(task, config), texts)
        return {text: PreviewAnswer(outcome, cached=False) for text, outcome in zip(texts, outcomes, strict=True)}

    def _classifier(self, task: bytes, config: JobConfig) -> Classifier:
        classifier = self._bound.get(task)
        if classifier is None:
            try:
                if config.model not in self._engines:
                    self._engines[config.model] = self._load_engine(config.model)
                classifier = self._engines[config.model].bind(config.task())
            except Exception as error:
                raise _NoClassifier from error
            self._bound.put(task, classifier)
        return classifier


def _callers(requests: Sequence[PreviewRequest]) -> dict[str, Field]:
    """Whom a log line about these requests concerns."""
    ids = [request.request_id for request in requests if request.request_id]
    if len(ids) > 1:
        return {"request_ids": ids}
    return {"request_id": ids[0]} if ids else {}


def _answer_key(task: bytes, account: str, text: str) -> bytes:
    """Of an account alone: that an answer is there must tell nobody what others have asked."""
    return _digest(task + f"{account}\n{text}".encode())


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
