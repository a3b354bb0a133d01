"""What every engine that needs torch must do, whatever its model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.exceptions import ModelUnavailable
from models.protocol import Engine
from models.registry import engine_names, load_engine, load_token_counter
from models.task import ClassificationTask
from tests.extras.confidences import confidences
from tests.extras.tiny_llm import save_tiny_llm
from tests.extras.tiny_models import save_tiny_bert, save_tiny_entailment, save_tiny_gliclass
from tests.unit.models.sample_texts import ODD, ORDINARY

MAKERS: dict[str, Callable[[Path], Path]] = {
    "embedding": save_tiny_bert,
    "nli": save_tiny_entailment,
    "gliclass": save_tiny_gliclass,
    "llm": save_tiny_llm,
}
TASK = ClassificationTask(
    ("sport", "business"), {"sport": "games"}, {"business": ("shares",)}, "news item", mode="multi", threshold=0
)
SINGLE = ClassificationTask(TASK.labels, TASK.descriptions, TASK.examples, TASK.source_type)
DECIMALS = 2e-4


@pytest.fixture(scope="module", params=list(MAKERS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    name: str = request.param
    return name, MAKERS[name](tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module")
def engine(folder: tuple[str, Path]) -> Engine:
    return load_engine(folder[0], threads=1, weights=str(folder[1]))


def test_they_are_all_here() -> None:
    assert set(MAKERS) == set(engine_names()) - {"minilm", "static", "blend"}


def test_order_neighbours_and_duplicates_change_nothing(engine: Engine) -> None:
    together = confidences(engine, TASK, ORDINARY)
    assert np.ptp(together, axis=0).min() > 0.001
    assert np.allclose(confidences(engine, TASK, ORDINARY[::-1])[::-1], together, atol=DECIMALS)
    assert np.allclose(confidences(engine, TASK, ORDINARY * 2)[len(ORDINARY) :], together, atol=DECIMALS)
    alone = np.concatenate([confidences(engine, TASK, [text]) for text in ORDINARY])
    assert np.allclose(alone, together, atol=DECIMALS)


def test_the_same_call_gives_the_same_bytes(engine: Engine) -> None:
    assert engine.bind(SINGLE).classify(ORDINARY) == engine.bind(SINGLE).classify(ORDINARY)


@pytest.mark.parametrize("name", ODD)
def test_odd_texts_are_answered(engine: Engine, name: str) -> None:
    (answer,) = engine.bind(SINGLE).classify([ODD[name]])
    assert 0.5 <= answer.labels[0].confidence <= 1


def test_nothing_is_answered_with_nothing(engine: Engine) -> None:
    assert engine.bind(SINGLE).classify([]) == []


def test_every_token_of_a_long_text_counts(folder: tuple[str, Path], engine: Engine) -> None:
    texts = ["word " * 2_000, *ORDINARY, ""]
    counter = load_token_counter(folder[0], weights=str(folder[1]))
    assert [answer.tokens for answer in engine.bind(SINGLE).classify(texts)] == counter.count(texts)
    changed = confidences(engine, TASK, [texts[0], texts[0] + "goal! " * 2_000])
    assert np.abs(changed[0] - changed[1]).max() > 0.001


def test_one_label_gets_a_confidence_of_its_own(engine: Engine) -> None:
    answers = engine.bind(ClassificationTask(("sport",))).classify(ORDINARY)
    found = [answer.labels[0].confidence for answer in answers]
    assert all(0 <= confidence <= 1 for confidence in found)
    assert np.ptp(found) > 0.001


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_two_hundred_labels(engine: Engine, mode: str) -> None:
    labels = tuple(f"kind {number}" for number in range(200))
    if mode == "single":
        answers = engine.bind(ClassificationTask(labels)).classify(ORDINARY[:3])
        assert all(answer.labels[0].label in labels for answer in answers)
        return
    found = confidences(engine, ClassificationTask(labels, mode="multi", threshold=0), ORDINARY[:3])
    assert found.shape == (3, 200)
    assert len(np.unique(found[0])) > 4


def test_progress_adds_up_and_may_end_the_work(engine: Engine) -> None:
    reports: list[tuple[int, int]] = []
    answers = engine.bind(TASK).classify(ORDINARY, lambda texts, tokens: reports.append((texts, tokens)))
    assert sum(texts for texts, _ in reports) == len(ORDINARY)
    assert sum(tokens for _, tokens in reports) == sum(answer.tokens for answer in answers)

    def stop(texts: int, tokens: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        engine.bind(TASK).classify(ORDINARY, stop)


def test_examples_descriptions_and_source_type_never_break_it(engine: Engine) -> None:
    task = ClassificationTask(
        ("a" * 100, "b"), {"b": "x " * 5_000}, {"b": ("y " * 5_000,)}, "z" * 300, mode="multi", threshold=0
    )
    assert confidences(engine, task, ORDINARY[:2]).shape == (2, 2)


@pytest.mark.parametrize("name", MAKERS)
def test_a_folder_without_a_tokenizer_is_refused(name: str, tmp_path: Path) -> None:
    folder = MAKERS[name](tmp_path)
    (folder / "tokenizer.json").unlink()
    for loaded in (load_engine, load_token_counter):
        with pytest.raises(ModelUnavailable, match=f"{folder} holds no tokenizer.json"):
            loaded(name, weights=str(folder))
