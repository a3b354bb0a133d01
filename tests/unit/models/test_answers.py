"""What holds of a whole answer, label and confidence, whatever surrounds the text."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest

from models.engines.static import Static
from models.registry import load_engine
from models.task import ClassificationTask, Mode, Prediction
from tests.unit.models.conftest import AnyEngine
from tests.unit.models.sample_texts import ODD, ORDINARY

TOPICS = ClassificationTask(
    labels=("delivery", "billing", "sport", "software problem", "politics"),
    descriptions={"billing": "invoices, charges and refunds", "software problem": "crashes, errors and updates"},
    examples={"sport": ("They won the cup on penalties.",), "billing": ("I was charged twice this month.",)},
    source_type="message",
)
TASKS = {
    "single": TOPICS,
    "multi": replace(TOPICS, mode="multi", threshold=0.0),
    "one label": ClassificationTask(labels=("delivery",)),
    "200 labels": ClassificationTask(labels=tuple(f"subject number {n}" for n in range(200))),
}
SHORT_ODD = [text for text in ODD.values() if len(text) < 5_000]
TEXTS = [text for text in (*ORDINARY, *SHORT_ODD) if len(text) < 700]


def confidences(prediction: Prediction) -> dict[str, float]:
    return {answer.label: answer.confidence for answer in prediction.labels}


def assert_same(ours: list[Prediction], theirs: list[Prediction]) -> None:
    """The same labels, the same confidence to 0.001, the same tokens."""
    assert [p.tokens for p in ours] == [p.tokens for p in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert confidences(one) == pytest.approx(confidences(other), abs=1e-3)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_order_and_neighbours_change_no_answer(engine: AnyEngine, task: ClassificationTask) -> None:
    classifier = engine.bind(task)
    together = classifier.classify(TEXTS)
    assert_same(classifier.classify(TEXTS[::-1])[::-1], together)
    assert_same([classifier.classify([text])[0] for text in TEXTS[::9]], together[::9])


def test_another_binding_of_the_same_task_answers_with_the_same_digits(engine: AnyEngine) -> None:
    assert engine.bind(TOPICS).classify(TEXTS) == engine.bind(TOPICS).classify(TEXTS)


def test_the_number_of_threads_changes_no_answer(engine: AnyEngine) -> None:
    single = load_engine(engine.info.name, threads=1)
    assert_same(single.bind(TASKS["multi"]).classify(ORDINARY), engine.bind(TASKS["multi"]).classify(ORDINARY))


def test_a_text_that_comes_many_times_always_gets_the_same_answer(engine: AnyEngine) -> None:
    classifier = engine.bind(TOPICS)
    answers = classifier.classify([ORDINARY[0]] * 100)
    assert_same(answers, [classifier.classify([ORDINARY[0]])[0]] * 100)


def test_unicode_normal_forms_are_answered_alike(engine: AnyEngine) -> None:
    texts = ["Café façade naïve", "El envío nunca llegó a mi casa", "Ångström über Öl"]
    classifier = engine.bind(TASKS["multi"])
    composed = classifier.classify([unicodedata.normalize("NFC", text) for text in texts])
    assert_same(classifier.classify([unicodedata.normalize("NFD", text) for text in texts]), composed)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_odd_texts_get_ordinary_answers(engine: AnyEngine, task: ClassificationTask) -> None:
    for prediction in engine.bind(task).classify(SHORT_ODD):
        assert len(prediction.labels) == (len(task.labels) if task.mode == "multi" else 1)
        assert all(0 <= answer.confidence <= 1 for answer in prediction.labels)


def test_a_text_of_100_000_characters_gets_an_answer_about_what_it_says(static: Static) -> None:
    (prediction,) = static.bind(TOPICS).classify([("The match was won in the last minute. " * 2_700)[:100_000]])
    assert prediction.labels[0].label == "sport"
    assert prediction.tokens > 10_000


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_the_order_of_labels_and_of_their_examples_changes_no_confidence(engine: AnyEngine, mode: Mode) -> None:
    examples = {
        "delivery": (
            "Where is my parcel?",
            "The courier never came.",
            "It has not arrived yet.",
            "Left at the wrong door.",
        ),
        "billing": ("I was charged twice.", "The invoice is wrong.", "Please refund me.", "Why did the price go up?"),
        "sport": ("They won the cup.", "A late goal.", "The match was cancelled.", "She ran a marathon."),
        "software problem": ("It crashes at start.", "An error after the update.", "The app froze.", "Where is it?"),
        "politics": ("The vote is on Sunday.", "The minister resigned.", "A new law.", "Why did the price go up?"),
    }
    task = replace(TOPICS, examples=examples, mode=mode, threshold=0.0)
    turned = replace(
        task,
        labels=TOPICS.labels[2:] + TOPICS.labels[1::-1],
        examples={label: texts[::-1] for label, texts in reversed(examples.items())},
    )
    assert_same(engine.bind(turned).classify(ORDINARY), engine.bind(task).classify(ORDINARY))
