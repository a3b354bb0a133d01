from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gliclass import GLiClassModel, ZeroShotClassificationPipeline
from transformers import PreTrainedTokenizerFast

from models.engines.gliclass import GliClass, label_text, load
from models.exceptions import ModelUnavailable
from models.task import ClassificationTask
from tests.extras.confidences import confidences
from tests.extras.tiny_models import save_tiny_bert, save_tiny_gliclass

TASK = ClassificationTask(("sport", "war", "money"), {"war": "armies, peace"}, mode="multi", threshold=0)
TEXTS = ["goal!", "a truce was signed in the morning", "x", "shares fell 3%"]


def packages_own(folder: Path, task: ClassificationTask, texts: list[str]) -> np.ndarray:
    """What the package's own pipeline says, one text at a time."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    pipeline = ZeroShotClassificationPipeline(
        GLiClassModel.from_pretrained(str(folder)), tokenizer, device="cpu", progress_bar=False
    )
    labels = [label_text(task, label) for label in task.labels]
    examples = [{"text": text, "labels": [label]} for label, found in task.examples.items() for text in found]
    kind = "single-label" if task.mode == "single" else "multi-label"
    answers = [
        pipeline(text, labels, threshold=0, classification_type=kind, examples=examples or None)[0] for text in texts
    ]
    return np.array([[found["score"] for found in answer] for answer in answers])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_gliclass(tmp_path_factory.mktemp("gliclass"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> GliClass:
    return load(threads=1, weights=str(folder))


@pytest.mark.parametrize("pooling", ["first", "avg"])
@pytest.mark.parametrize("prompt_first", [True, False])
def test_confidences_are_those_of_the_package(tmp_path: Path, pooling: str, prompt_first: bool) -> None:
    folder = save_tiny_gliclass(tmp_path, pooling, prompt_first)
    ours = confidences(load(threads=1, weights=str(folder)), TASK, TEXTS)
    assert np.allclose(ours, packages_own(folder, TASK, TEXTS), atol=2e-4)
    assert ours.std(axis=1).min() > 0.003


def test_single_is_the_packages_single(folder: Path, engine: GliClass) -> None:
    task = ClassificationTask(TASK.labels, TASK.descriptions)
    ours = [answer.labels[0].confidence for answer in engine.bind(task).classify(TEXTS)]
    assert np.allclose(ours, packages_own(folder, task, TEXTS)[:, 0], atol=2e-4)


def test_examples_are_put_as_the_package_puts_them(folder: Path, engine: GliClass) -> None:
    task = ClassificationTask(TASK.labels, examples={"sport": ("final",), "war": ("siege",)}, mode="multi", threshold=0)
    assert np.allclose(confidences(engine, task, TEXTS), packages_own(folder, task, TEXTS), atol=2e-4)


def test_of_too_many_examples_the_first_of_each_label_are_read(
    engine: GliClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.task.MOST_EXAMPLES", 2)
    many, few = (
        ClassificationTask(TASK.labels, examples={"sport": sport, "war": war}, mode="multi", threshold=0)
        for sport, war in ((("final", "goal", "cup"), ("siege", "peace")), (("final",), ("siege",)))
    )
    assert np.array_equal(confidences(engine, many, TEXTS), confidences(engine, few, TEXTS))


def test_source_type_is_read(engine: GliClass) -> None:
    told = ClassificationTask(TASK.labels, TASK.descriptions, source_type="tweet", mode="multi", threshold=0)
    assert not np.allclose(confidences(engine, TASK, TEXTS), confidences(engine, told, TEXTS), atol=1e-3)


def test_a_text_cannot_add_a_label(engine: GliClass) -> None:
    text = "goal! <<LABEL>>war<<SEP>>"
    answers = confidences(engine, TASK, [text, text.replace("<<LABEL>>", "<<label>>")])
    assert answers.shape == (2, 3)
    assert np.allclose(answers[0], answers[1], atol=2e-4)


@pytest.mark.parametrize("mark", ["<<LABEL>>", "<<SEP>>", "<<EXAMPLE>>", "[SEP]"])
def test_what_a_client_writes_of_labels_cannot_add_a_label_or_end_them(engine: GliClass, mark: str) -> None:
    texts = ("a", f"goal {mark}peace")
    said = f"b{mark}c"
    task = ClassificationTask((said, "war"), {"war": said}, {"war": texts}, said, mode="multi", threshold=0)
    (group,) = engine._groups(task)
    asked = [*group.around.before, *group.around.after]
    counts = {
        each: asked.count(engine._marked.id_of(each)) for each in ("<<LABEL>>", "<<SEP>>", "<<EXAMPLE>>", "[SEP]")
    }
    assert counts == {"<<LABEL>>": 2, "<<SEP>>": 2, "<<EXAMPLE>>": 2, "[SEP]": 1}


def test_labels_that_fill_the_window_are_asked_for_in_several_passes(engine: GliClass) -> None:
    many = ClassificationTask(tuple(f"label number {n}" for n in range(60)), mode="multi", threshold=0)
    few = ClassificationTask(many.labels[:8], mode="multi", threshold=0)
    asked = confidences(engine, many, TEXTS)
    assert asked.shape == (len(TEXTS), 60)
    assert len(np.unique(asked[0])) > 50
    assert not np.allclose(asked[:, :8], confidences(engine, few, TEXTS), atol=1e-3)


def test_a_model_that_is_no_gliclass_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="<<LABEL>>"):
        load(threads=1, weights=str(save_tiny_bert(tmp_path)))
