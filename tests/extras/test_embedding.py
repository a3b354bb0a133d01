from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel

from models.engines.embedding import Embedding, ModelFolder, load, load_token_counter
from models.exceptions import ModelUnavailable
from models.protocol import Vectors
from models.task import ClassificationTask
from pipelines.engines import engine_for, fingerprint_for, token_counter_for
from pipelines.settings import Settings
from tests.extras.tiny_models import WINDOW, save_tiny_bert
from tests.unit.models.sample_texts import ODD, ORDINARY

SHORT = [text for text in ORDINARY if text.isascii() and len(text) < WINDOW]


@pytest.fixture(scope="module")
def engine(tiny_bert: Path) -> Embedding:
    return load(threads=1, weights=str(tiny_bert))


def one_by_one(folder: Path, texts: list[str], pooling: str) -> Vectors:
    """Each text without any padding, straight through transformers."""
    model = BertModel.from_pretrained(folder).eval()
    counter = load_token_counter(str(folder))
    answers = []
    for text in texts:
        with torch.inference_mode():
            states = model(torch.tensor([counter.wrapped_ids(text)])).last_hidden_state[0]
        pooled = {"mean_tokens": states.mean(0), "cls_token": states[0], "lasttoken": states[-1]}[pooling]
        answers.append((pooled / pooled.norm()).numpy())
    return np.stack(answers)


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token", "lasttoken"])
def test_vectors_are_those_of_transformers(tmp_path: Path, pooling: str) -> None:
    folder = save_tiny_bert(tmp_path, pooling)
    vectors, _ = load(threads=1, weights=str(folder)).encoder.encode(SHORT)
    assert np.allclose(vectors, one_by_one(folder, SHORT, pooling), atol=1e-4)


def test_order_and_neighbours_change_nothing(engine: Embedding) -> None:
    vectors, _ = engine.encoder.encode(ORDINARY)
    backwards = engine.encoder.encode(ORDINARY[::-1])[0][::-1]
    alone = np.concatenate([engine.encoder.encode([text])[0] for text in ORDINARY])
    assert np.allclose(vectors, backwards, atol=1e-4)
    assert np.allclose(vectors, alone, atol=1e-4)


@pytest.mark.parametrize("name", [name for name, text in ODD.items() if len(text) < 20_000])
def test_odd_texts_get_finite_unit_vectors(engine: Embedding, name: str) -> None:
    vectors, tokens = engine.encoder.encode([ODD[name]])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert tokens[0] >= 0


def test_it_classifies(engine: Embedding) -> None:
    predictions = engine.bind(ClassificationTask(("sport", "business"))).classify(ORDINARY)
    assert len(predictions) == len(ORDINARY)
    assert all(0 < prediction.labels[0].confidence <= 1 for prediction in predictions)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"config\.json"):
        load(threads=1, weights=str(tmp_path))


def test_an_unknown_pooling_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_bert(tmp_path)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ModelUnavailable, match="pooling"):
        ModelFolder.read(folder)


def write_modules(folder: Path, *kinds: str) -> None:
    modules = [
        {"idx": place, "name": str(place), "path": "" if kind == "Transformer" else f"{place}_{kind}", "type": kind}
        for place, kind in enumerate(kinds)
    ]
    for module in modules:
        module["type"] = f"sentence_transformers.models.{module['type']}"
    (folder / "modules.json").write_text(json.dumps(modules))


def write_prompts(folder: Path, default: str | None) -> None:
    prompts = {"query": "query: ", "document": "passage: "}
    told = {"prompts": prompts, "default_prompt_name": default}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(told))


def test_a_module_that_is_not_computed_is_refused_by_name(tmp_path: Path) -> None:
    folder = save_tiny_bert(tmp_path)
    write_modules(folder, "Transformer", "Pooling", "Dense", "Normalize")
    with pytest.raises(ModelUnavailable, match="'Dense'"):
        load(threads=1, weights=str(folder))


def test_the_pooling_is_that_of_the_folder_that_the_modules_name(tmp_path: Path) -> None:
    folder = save_tiny_bert(tmp_path, "cls_token")
    (folder / "1_Pooling").rename(folder / "2_Pooling")
    write_modules(folder, "Transformer", "Normalize", "Pooling")
    assert ModelFolder.read(folder).pooling == "first"


@pytest.mark.parametrize(("default", "prompt"), [("query", "query: "), ("document", "passage: "), (None, "")])
def test_the_default_prompt_comes_before_each_text_and_is_not_counted(
    tmp_path: Path, default: str | None, prompt: str
) -> None:
    folder = save_tiny_bert(tmp_path)
    write_prompts(folder, default)
    texts = [text for text in SHORT if len(text) < WINDOW - 12]
    vectors, tokens = load(threads=1, weights=str(folder)).encoder.encode(texts)
    assert np.allclose(vectors, one_by_one(folder, [prompt + text for text in texts], "mean_tokens"), atol=1e-4)
    assert tokens.tolist() == load_token_counter(str(folder)).count(texts)


def test_a_prompt_that_is_to_be_left_out_of_the_pooling_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_bert(tmp_path)
    write_prompts(folder, "query")
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"pooling_mode_mean_tokens": True, "include_prompt": False})
    )
    with pytest.raises(ModelUnavailable, match="prompt"):
        ModelFolder.read(folder)


def test_an_operator_may_give_it_weights_beside_another_default(tiny_bert: Path, tmp_path: Path) -> None:
    settings = Settings(models=("minilm", "embedding"), model_weights={"embedding": str(tiny_bert)})
    engine = engine_for(settings, "embedding", threads=1)
    assert isinstance(engine, Embedding)
    assert np.allclose(engine.encoder.encode(SHORT)[0], one_by_one(tiny_bert, SHORT, "mean_tokens"), atol=1e-4)
    assert token_counter_for(settings, "embedding").count(["ab c"]) == [3]
    other = settings.model_copy(update={"model_weights": {"embedding": str(save_tiny_bert(tmp_path, "cls_token"))}})
    fingerprints = [fingerprint_for(each, "embedding", "") for each in (settings, other, Settings())]
    assert len(set(fingerprints)) == 3
