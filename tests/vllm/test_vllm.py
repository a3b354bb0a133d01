"""vLLM itself, on the CPU, against the same model through transformers: run with ``make test-vllm``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.llm.prompt_tokens import PromptTokenizer
from models.llm.transformers_scorer import TransformersScorer
from models.llm.vllm_scorer import VllmScorer
from models.on_torch.device import TorchDevice
from models.task import ClassificationTask
from tests.extras.tiny_llm import save_tiny_llm

LABELS = ("sport", "war", "money")
TASKS = {
    "single": ClassificationTask(LABELS, {"war": "armies, peace"}, {"sport": ("final",)}, "post"),
    "multi": ClassificationTask(LABELS, mode="multi"),
    "200 labels": ClassificationTask(tuple(f"kind {number}" for number in range(200))),
}
TEXTS = ["goal!", "a truce was signed in the morning", "", "shares fell 3% " * 5, "word " * 700]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llm(tmp_path_factory.mktemp("llm"))


@pytest.fixture(scope="module")
def vllm(folder: Path) -> VllmScorer:
    return VllmScorer(folder, dtype="float32", enforce_eager=True)


@pytest.mark.parametrize("name", TASKS)
def test_log_probabilities_are_those_of_transformers(folder: Path, vllm: VllmScorer, name: str) -> None:
    transformers = TransformersScorer(folder, TorchDevice("cpu", torch.float32))
    prompt = PromptTokenizer(folder, transformers.window).prompt(TASKS[name])
    ours, tokens = vllm.bind(prompt).log_probabilities(TEXTS)
    expected, counted = transformers.bind(prompt).log_probabilities(TEXTS)
    assert np.allclose(ours, expected, atol=1e-3)
    assert tokens.tolist() == counted.tolist()
    assert np.ptp(expected) > 0.1
