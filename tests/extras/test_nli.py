from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

from models.engines.nli import Nli, hypothesis, load, load_token_counter
from models.exceptions import ModelUnavailable
from models.task import ClassificationTask
from tests.extras.tiny_models import save_tiny_bert, save_tiny_entailment

TASK = ClassificationTask(("sport", "war"), source_type="post", mode="multi", threshold=0)
TEXTS = ["goal!", "a truce was signed", "", "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_entailment(tmp_path_factory.mktemp("entailment"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Nli:
    return load(threads=1, weights=str(folder))


def confidences(engine: Nli, task: ClassificationTask, texts: list[str]) -> np.ndarray:
    return np.array(
        [
            [next(found.confidence for found in answer.labels if found.label == label) for label in task.labels]
            for answer in engine.bind(task).classify(texts)
        ]
    )


def test_confidences_are_those_of_transformers(folder: Path, engine: Nli) -> None:
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    counter = load_token_counter(str(folder))
    expected = []
    for text in TEXTS:
        row = []
        for label in TASK.labels:
            pair = counter.wrapped_ids(text, hypothesis(TASK, label))
            second = len(pair) - 2 - counter.count([text])[0]
            segments = [0] * (len(pair) - second) + [1] * second
            with torch.inference_mode():
                logits = model(torch.tensor([pair]), token_type_ids=torch.tensor([segments])).logits
            row.append(float(logits.softmax(1)[0, 2]))
        expected.append(row)
    assert np.allclose(confidences(engine, TASK, TEXTS), expected, atol=1e-4)


def test_neighbours_change_nothing(engine: Nli) -> None:
    texts = [*TEXTS, "much longer than one window " * 20]
    together = confidences(engine, TASK, texts)
    alone = np.concatenate([confidences(engine, TASK, [text]) for text in texts])
    assert np.allclose(together, alone, atol=1e-4)


def test_descriptions_and_source_type_are_read(engine: Nli) -> None:
    described = ClassificationTask(TASK.labels, {"sport": "games"}, source_type="post", mode="multi", threshold=0)
    plain, told = confidences(engine, TASK, TEXTS), confidences(engine, described, TEXTS)
    assert not np.allclose(plain[:, 0], told[:, 0])
    assert np.allclose(plain[:, 1], told[:, 1])
    assert hypothesis(described, "sport") == "This post is about sport: games"


def test_a_description_longer_than_the_window_leaves_room_for_the_text(engine: Nli) -> None:
    task = ClassificationTask(TASK.labels, {"sport": "games " * 100}, mode="multi", threshold=0)
    answers = confidences(engine, task, ["goal!", "goalless"])
    assert answers[0, 0] != answers[1, 0]


def test_single_chooses_one_label_and_progress_adds_up(engine: Nli) -> None:
    reports: list[tuple[int, int]] = []
    task = ClassificationTask(TASK.labels)
    answers = engine.bind(task).classify(TEXTS, lambda texts, tokens: reports.append((texts, tokens)))
    assert all(len(answer.labels) == 1 and answer.labels[0].confidence >= 0.5 for answer in answers)
    assert sum(texts for texts, _ in reports) == len(TEXTS)
    assert sum(tokens for _, tokens in reports) == sum(answer.tokens for answer in answers)


def test_a_model_without_entailment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="entailment"):
        load(threads=1, weights=str(save_tiny_bert(tmp_path)))
