from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from models.engines.llm import Llm, load, load_token_counter
from models.exceptions import ModelError, ModelUnavailable
from models.llm.prompt_tokens import PromptTokenizer, PromptTokens
from models.task import ClassificationTask
from tests.extras.confidences import confidences
from tests.extras.tiny_llm import save_tiny_llm
from tests.extras.tiny_models import save_tiny_bert

LABELS = ("sport", "war", "money")
TASK = ClassificationTask(
    LABELS, {"war": "armies, peace"}, {"sport": ("final", "goal"), "money": ("loan",)}, source_type="post"
)
MULTI = ClassificationTask(LABELS, TASK.descriptions, TASK.examples, "post", mode="multi", threshold=0)
TEXTS = ["goal!", "a truce was signed in the morning", "", "shares fell 3% " * 5, "x"]
CHAT = "{% for m in messages %}[{{ m.role }}]{{ m.content }}[end]{% endfor %}[assistant]"
THINKING = CHAT + "{% if enable_thinking is defined and not enable_thinking %}[thought][/thought]{% endif %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llm(tmp_path_factory.mktemp("llm"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Llm:
    return load(threads=1, weights=str(folder))


def prompt_of(folder: Path, task: ClassificationTask, window: int = 8_192) -> PromptTokens:
    return PromptTokenizer(folder, window).prompt(task)


def one_by_one(folder: Path, task: ClassificationTask, texts: list[str]) -> np.ndarray:
    """Whole sequences without padding or cache: log-probabilities of shape (texts, questions, choices)."""
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    prompt, counter = prompt_of(folder, task), load_token_counter(str(folder))
    answers = []
    for text in texts:
        for question in prompt.questions:
            ids = [*prompt.head, *counter.ids([text])[0].tolist(), *question]
            with torch.inference_mode():
                answers.append(model(torch.tensor([ids])).logits[0, -1].log_softmax(0)[list(prompt.choices)])
    return torch.stack(answers).numpy().reshape(len(texts), len(prompt.questions), len(prompt.choices))


def test_a_choice_is_the_softmax_of_the_labels_likelihoods(folder: Path, engine: Llm) -> None:
    likely = one_by_one(folder, TASK, TEXTS)[:, 0]
    shares = np.exp(likely) / np.exp(likely).sum(axis=1, keepdims=True)
    answers = engine.bind(TASK).classify(TEXTS)
    assert [answer.labels[0].label for answer in answers] == [LABELS[best] for best in shares.argmax(axis=1)]
    assert np.allclose([answer.labels[0].confidence for answer in answers], shares.max(axis=1), atol=2e-4)


def test_multi_is_yes_against_no_for_each_label(folder: Path, engine: Llm) -> None:
    likely = one_by_one(folder, MULTI, TEXTS)
    assert likely.shape == (len(TEXTS), 3, 2)
    yes = np.exp(likely[:, :, 0]) / np.exp(likely).sum(axis=2)
    assert np.allclose(confidences(engine, MULTI, TEXTS), yes, atol=2e-4)
    assert yes.std(axis=1).min() > 0.001


def test_a_single_label_is_a_question_too(engine: Llm) -> None:
    answers = engine.bind(ClassificationTask(("sport",))).classify(TEXTS)
    assert all(0 < answer.labels[0].confidence < 1 for answer in answers)


def test_labels_descriptions_examples_and_source_type_are_all_in_the_prompt(folder: Path) -> None:
    head = bytes_of(folder, prompt_of(folder, TASK).head)
    for part in ("A. sport", "B. war: armies, peace", "fits the post best", "post: final\nLabel: A", "post: loan"):
        assert part in head


def test_two_hundred_labels_are_one_token_each(folder: Path) -> None:
    prompt = prompt_of(folder, ClassificationTask(tuple(f"label {n}" for n in range(200))))
    assert len(set(prompt.choices)) == 200


def test_details_give_way_where_the_window_is_small(folder: Path) -> None:
    task = ClassificationTask(LABELS, dict.fromkeys(LABELS, "long " * 100), {"war": ("battle " * 50,)})
    roomy, narrow = prompt_of(folder, task), prompt_of(folder, task, window=600)
    assert narrow.around <= 300 < roomy.around
    assert "long" in bytes_of(folder, narrow.head)
    with pytest.raises(ModelError, match="3 labels make a prompt of"):
        prompt_of(folder, task, window=100)


@pytest.mark.parametrize(("template", "thought"), [(CHAT, ""), (THINKING, "[thought][/thought]")])
def test_a_model_that_converses_is_asked_in_its_own_format(tmp_path: Path, template: str, thought: str) -> None:
    folder = save_tiny_llm(tmp_path, template)
    prompt = prompt_of(folder, TASK)
    assert bytes_of(folder, prompt.head).startswith("[user]Which label")
    question = bytes_of(folder, prompt.questions[0])
    assert question == f"\nLabel:\nAnswer with the label's id only.[end][assistant]{thought}"
    assert [bytes_of(folder, (choice,)) for choice in prompt.choices] == ["A", "B", "C"]
    likely = one_by_one(folder, TASK, TEXTS)[:, 0]
    answers = load(threads=1, weights=str(folder)).bind(TASK).classify(TEXTS)
    assert [answer.labels[0].label for answer in answers] == [LABELS[best] for best in likely.argmax(axis=1)]


def test_a_folder_without_a_language_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"config\.json"):
        load(threads=1, weights=str(tmp_path))
    with pytest.raises(ModelUnavailable, match="BertModel, which is no language model"):
        load(threads=1, weights=str(save_tiny_bert(tmp_path)))


def bytes_of(folder: Path, ids: tuple[int, ...]) -> str:
    from tokenizers import Tokenizer, decoders

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer.decode(list(ids))
