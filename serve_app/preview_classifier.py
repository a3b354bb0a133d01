"""Answers preview requests as a job would. Knows neither Ray nor HTTP."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.protocol import Classifier, Engine
from models.task import Prediction
from pipelines.exceptions import LabelworksError
from pipelines.job import JobConfig
from pipelines.ndjson import ItemError, text_error
from pipelines.range_classifier import answer_texts
from serve_app.recently_used import RecentlyUsed

logger = logging.getLogger(__name__)

BOUND_TASKS = 32
REMEMBERED_ANSWERS = 2_000


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """Texts for one task. ``may_be_cached``: an answer that was given before will do."""

    config: JobConfig
    texts: tuple[str, ...]
    may_be_cached: bool = True


@dataclass(frozen=True, slots=True)
class PreviewAnswer:
    """A text's answer, and whether it is one that was given before."""

    outcome: Prediction | ItemError
    cached: bool


class PreviewClassifier:
    """Keeps engines, the tasks bound last and the latest answers. Not thread-safe."""

    def __init__(self, load_engine: Callable[[str], Engine]) -> None:
        self._load_engine = load_engine
        self._engines: dict[str, Engine] = {}
        self._bound: RecentlyUsed[bytes, Classifier] = RecentlyUsed(BOUND_TASKS)
        self._answers: RecentlyUsed[bytes, Prediction | ItemError] = RecentlyUsed(REMEMBERED_ANSWERS)

    def answer(self, requests: Sequence[PreviewRequest]) -> list[list[PreviewAnswer] | LabelworksError]:
        """An answer for each text of each request, or why a request has none. Texts of one task go together."""
        tasks = [_digest(request.config.model_dump_json(exclude={"classifier"})) for request in requests]
        members = defaultdict(list)
        for number, task in enumerate(tasks):
            members[task].append(number)
        answered: dict[int, list[PreviewAnswer] | LabelworksError] = {}
        for task, numbers in members.items():
            group = [requests[number] for number in numbers]
            try:
                answered.update(zip(numbers, self._answer_task(task, group), strict=True))
            except Exception:
                logger.exception("a preview of model %s failed", group[0].config.model)
                answered.update((number, LabelworksError()) for number in numbers)
        return [answered[number] for number in range(len(requests))]

    def _answer_task(self, task: bytes, requests: Sequence[PreviewRequest]) -> list[list[PreviewAnswer]]:
        known: dict[str, PreviewAnswer] = {}
        for text in {text for request in requests if request.may_be_cached for text in request.texts}:
            remembered = self._answers.get(_digest(text, task))
            if remembered is not None:
                known[text] = PreviewAnswer(remembered, cached=True)
        fresh = self._classify(
            task,
            requests[0].config,
            [text for request in requests for text in request.texts if text not in known or not request.may_be_cached],
        )
        return [
            [known.get(text) or fresh[text] if request.may_be_cached else fresh[text] for text in request.texts]
            for request in requests
        ]

    def _classify(self, task: bytes, config: JobConfig, texts: Sequence[str]) -> dict[str, PreviewAnswer]:
        errors = {text: text_error(text) for text in texts}
        usable = [text for text, error in errors.items() if error is None]
        outcomes: dict[str, Prediction | ItemError] = {text: error for text, error in errors.items() if error}
        if usable:
            outcomes.update(zip(usable, answer_texts(self._classifier(task, config), usable), strict=True))
        for text in usable:
            self._answers.put(_digest(text, task), outcomes[text])
        return {text: PreviewAnswer(outcome, cached=False) for text, outcome in outcomes.items()}

    def _classifier(self, task: bytes, config: JobConfig) -> Classifier:
        classifier = self._bound.get(task)
        if classifier is None:
            if config.model not in self._engines:
                self._engines[config.model] = self._load_engine(config.model)
            classifier = self._engines[config.model].bind(config.task())
            self._bound.put(task, classifier)
        return classifier


def _digest(text: str, task: bytes = b"") -> bytes:
    return hashlib.sha256(task + text.encode()).digest()
