from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache

import pytest

from models.protocol import Classifier, Engine, EngineInfo, OnBatch
from models.registry import load_engine
from models.task import ClassificationTask, Prediction
from pipelines.exceptions import LabelworksError
from pipelines.job import JobConfig
from pipelines.logs import configure_logging, log_fields
from pipelines.ndjson import ItemError
from pipelines.settings import Settings
from serve_app import preview_classifier
from serve_app.exceptions import ModelUnusable
from serve_app.preview_classifier import PreviewAnswer, PreviewClassifier, PreviewRequest
from serve_app.recently_used import RecentlyUsed

ANIMALS = JobConfig(labels=("cats", "dogs"), model="static")
FOOD = JobConfig(labels=("bread", "cheese"), model="static", mode="multi", threshold=0.1)


@cache
def static_engine() -> Engine:
    return load_engine("static", threads=1)


class CountingEngine:
    """The static engine; notes what it is asked, and fails on a text that says so."""

    def __init__(self) -> None:
        self.bound: list[ClassificationTask] = []
        self.classified: list[list[str]] = []

    @property
    def info(self) -> EngineInfo:
        return static_engine().info

    def bind(self, task: ClassificationTask) -> Classifier:
        self.bound.append(task)
        return _Counting(self, static_engine().bind(task))


class _Counting:
    def __init__(self, engine: CountingEngine, classifier: Classifier) -> None:
        self._engine = engine
        self._classifier = classifier

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        self._engine.classified.append(list(texts))
        if any(text.startswith("fail") for text in texts):
            raise ValueError("fail")
        return self._classifier.classify(texts, on_batch)


@pytest.fixture
def engine() -> CountingEngine:
    return CountingEngine()


@pytest.fixture
def classifier(engine: CountingEngine) -> PreviewClassifier:
    return PreviewClassifier(lambda _: engine)


def request(config: JobConfig, *texts: str, may_be_cached: bool = True, account: str = "acme") -> PreviewRequest:
    return PreviewRequest(account, config, texts, may_be_cached)


def answers(classifier: PreviewClassifier, *requests: PreviewRequest) -> list[list[PreviewAnswer]]:
    found = classifier.answer(requests)
    assert not any(isinstance(each, LabelworksError) for each in found)
    return [each for each in found if not isinstance(each, LabelworksError)]


def direct(config: JobConfig, *texts: str) -> list[Prediction]:
    return static_engine().bind(config.task()).classify(texts)


def test_requests_of_one_task_are_classified_together_and_each_gets_its_own_answers(
    classifier: PreviewClassifier, engine: CountingEngine
) -> None:
    given = answers(
        classifier,
        request(ANIMALS, "a kitten", "a puppy"),
        request(FOOD, "a loaf"),
        request(ANIMALS, "a lion", "a wolf"),
    )
    assert [[each.outcome for each in one] for one in given] == [
        direct(ANIMALS, "a kitten", "a puppy"),
        direct(FOOD, "a loaf"),
        direct(ANIMALS, "a lion", "a wolf"),
    ]
    assert engine.classified == [["a kitten", "a puppy", "a lion", "a wolf"], ["a loaf"]]
    assert not any(each.cached for one in given for each in one)


def test_a_task_is_bound_once_whatever_its_classifier_is_called(
    classifier: PreviewClassifier, engine: CountingEngine
) -> None:
    answers(classifier, request(ANIMALS, "a kitten"))
    answers(classifier, request(ANIMALS.model_copy(update={"classifier": "mine@v1"}), "a puppy"))
    assert len(engine.bound) == 1
    answers(classifier, request(ANIMALS.model_copy(update={"source_type": "tweet"}), "a puppy"))
    assert len(engine.bound) == 2


def test_an_answer_given_before_is_given_again_unless_it_may_not_be(
    classifier: PreviewClassifier, engine: CountingEngine
) -> None:
    (first,) = answers(classifier, request(ANIMALS, "a kitten", "a kitten"))
    assert [each.cached for each in first] == [False, False]
    assert engine.classified == [["a kitten"]]
    again, anew = answers(classifier, request(ANIMALS, "a kitten"), request(ANIMALS, "a kitten", may_be_cached=False))
    assert again == [PreviewAnswer(first[0].outcome, cached=True)]
    assert anew == [first[0]]
    assert engine.classified == [["a kitten"]] * 2
    assert answers(classifier, request(ANIMALS.model_copy(update={"mode": "multi"}), "a kitten"))[0][0].cached is False


@pytest.mark.parametrize("may_be_cached", [True, False])
def test_an_answer_that_another_account_was_given_is_not_told_from_a_new_one(
    classifier: PreviewClassifier, engine: CountingEngine, may_be_cached: bool
) -> None:
    (first,) = answers(classifier, request(ANIMALS, "a kitten"))
    mine, theirs, mine_again = answers(
        classifier,
        request(ANIMALS, "a kitten"),
        request(ANIMALS, "a kitten", account="other", may_be_cached=may_be_cached),
        request(ANIMALS, "a kitten"),
    )
    assert (mine, theirs) == ([PreviewAnswer(first[0].outcome, cached=True)], first)
    assert mine_again == mine
    assert engine.classified == [["a kitten"]] * 2
    assert len(engine.bound) == 1
    assert answers(classifier, request(ANIMALS, "a kitten", account="other")) == [mine]


def test_texts_that_cannot_be_classified_have_the_errors_of_result_lines(
    classifier: PreviewClassifier, engine: CountingEngine
) -> None:
    (given,) = answers(classifier, request(ANIMALS, "", "a kitten", " \n", "x" * 100_001, "fail"))
    codes = [each.outcome.code if isinstance(each.outcome, ItemError) else None for each in given]
    assert codes == ["empty_text", None, "empty_text", "text_too_long", "classifier_error"]
    assert given[1].outcome == direct(ANIMALS, "a kitten")[0]


def test_half_a_surrogate_pair_is_an_error_of_its_own_text_alone(classifier: PreviewClassifier) -> None:
    half, whole = answers(classifier, request(ANIMALS, "a\ud800", "a puppy"), request(ANIMALS, "a kitten"))
    assert isinstance(half[0].outcome, ItemError)
    assert half[0].outcome.code == "invalid_text"
    assert half[1].outcome == direct(ANIMALS, "a puppy")[0]
    assert whole == [PreviewAnswer(direct(ANIMALS, "a kitten")[0], cached=False)]
    (again,) = answers(classifier, request(ANIMALS, "a\ud800", "a puppy"))
    assert [each.cached for each in again] == [False, True]


def test_a_request_on_which_the_classifier_fails_does_not_fail_those_that_were_classified_with_it(
    classifier: PreviewClassifier,
) -> None:
    (before,) = answers(classifier, request(ANIMALS, "a kitten"))
    spoilt = tuple(f"fail {number}" for number in range(20))
    failed, whole = classifier.answer([request(ANIMALS, *spoilt), request(ANIMALS, "a kitten")])
    assert isinstance(failed, LabelworksError)
    assert whole == [PreviewAnswer(before[0].outcome, cached=True)]


def test_log_lines_about_a_preview_have_the_ids_of_the_calls_that_they_concern(
    classifier: PreviewClassifier, written: Callable[[], str]
) -> None:
    configure_logging(Settings())
    requests = []
    for number in range(2):
        with log_fields(request_id=f"r-{number}"):
            requests.append(request(ANIMALS, *(f"fail {number}{text}" for text in range(20))))
    classifier.answer([*requests, request(FOOD, "fail")])
    lines = [json.loads(line) for line in written().splitlines()]
    assert [(line.get("request_id"), line.get("request_ids")) for line in lines] == [
        *[(None, ["r-0", "r-1"])] * 2,
        *[("r-0", None)] * 2,
        *[("r-1", None)] * 2,
        (None, None),
    ]


def test_a_task_that_cannot_be_classified_does_not_fail_the_others(engine: CountingEngine) -> None:
    def load(model: str) -> Engine:
        if model == "broken":
            raise OSError("no weights")
        return engine

    broken, whole = PreviewClassifier(load).answer(
        [request(ANIMALS.model_copy(update={"model": "broken"}), "a kitten"), request(ANIMALS, "a kitten")]
    )
    assert isinstance(broken, LabelworksError)
    assert "no weights" not in broken.message
    assert isinstance(whole, list)


def test_an_engine_that_is_not_there_is_named_and_loaded_once_for_all_who_asked_for_it() -> None:
    asked: list[str] = []

    def load(model: str) -> Engine:
        asked.append(model)
        return load_engine(model)

    gone = ANIMALS.model_copy(update={"model": "no.such.engine"})
    failures = PreviewClassifier(load).answer([request(gone, "a kitten"), request(gone, "a puppy")])
    assert all(isinstance(each, ModelUnusable) and "'no.such.engine'" in each.message for each in failures)
    assert asked == ["no.such.engine"]


def test_only_the_tasks_used_last_stay_bound(engine: CountingEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview_classifier, "BOUND_TASKS", 1)
    classifier = PreviewClassifier(lambda _: engine)
    for config, text in ((ANIMALS, "a kitten"), (FOOD, "a loaf"), (ANIMALS, "a puppy")):
        answers(classifier, request(config, text))
    assert len(engine.bound) == 3


def test_what_was_used_last_is_kept() -> None:
    kept: RecentlyUsed[str, int] = RecentlyUsed(2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert (kept.get("a"), kept.get("b"), kept.get("c"), len(kept)) == (1, None, 3, 2)
