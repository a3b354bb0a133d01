"""A large language model that chooses among the labels: the likelihood of each as the next token, nothing generated.

Cost: a text is read once, after a prompt with the labels, descriptions and examples that is computed once a task and
cached. In ``single`` more labels cost next to nothing a text; in ``multi`` each label is a short question of its own
about the cached text. Hardware: a GPU that holds the weights twice over (some 16 GB for 4 billion parameters),
through vLLM; without vLLM, or on a CPU, through transformers. Pick it where a label takes judgement (policy, intent,
irony) and files have thousands of texts rather than millions. Labels, descriptions, examples and source_type are all
in the prompt, as far as they leave half of the window to the text. Confidence is the model's own probability, not
calibrated by us; a text that tells the model how to answer can sway its own answer, no other's. Needs the extra
``llm`` (with vLLM), or ``embedding`` (without).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal, Protocol

import numpy as np

from models.calibration import label_probabilities
from models.decision import decide
from models.exceptions import ModelUnavailable
from models.llm.prompt_tokens import PromptTokenizer, PromptTokens
from models.llm.transformers_scorer import TransformersScorer
from models.llm.vllm_scorer import VllmScorer
from models.lookahead import Waits
from models.on_torch.device import choose_device
from models.on_torch.text_stream import Answers
from models.protocol import Counts, EngineInfo, OnBatch
from models.task import ClassificationTask, Prediction
from models.tokenization import TextTokenizer, portions
from models.weights import model_folder, tokenizer_file

logger = logging.getLogger(__name__)

NAME = "llm"
USES_GPU = True
DEFAULT_MODEL = "Qwen/Qwen3-4B-Instruct-2507"
INSTALL = "pip install 'labelworks[llm]' for a GPU, or 'labelworks[embedding]' for a CPU"
TEXTS_AT_ONCE = 65_536
CHARACTERS_AT_ONCE = 16_777_216


class ChoiceReader(Protocol):
    """A model that was given a prompt."""

    def log_probabilities(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Answers, Counts]:
        """Of each choice after each question, of shape (texts, questions, choices), and the texts' tokens.

        A text that is longer than the window answers with the mean of its windows, weighted by their tokens.
        """
        ...


class LabelScorer(Protocol):
    """A loaded model; ``window`` is how many tokens it reads at once."""

    window: int
    waits: Waits

    def bind(self, prompt: PromptTokens) -> ChoiceReader: ...


class LlmClassifier:
    """Turns the choices' log-probabilities into those of the labels."""

    def __init__(self, reader: ChoiceReader, task: ClassificationTask) -> None:
        self._reader = reader
        self._task = task

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        predictions: list[Prediction] = []
        for portion in portions(texts, CHARACTERS_AT_ONCE, TEXTS_AT_ONCE):
            answers, tokens = self._reader.log_probabilities(portion, on_batch)
            read = answers.astype(np.float64)
            logits = read[:, 0] if self._task.is_choice else read[:, :, 0] - read[:, :, 1]
            predictions.extend(decide(self._task, label_probabilities(self._task, logits), tokens))
        return predictions


class Llm:
    """Loaded weights for any number of tasks."""

    def __init__(self, scorer: LabelScorer, prompts: PromptTokenizer, device: Literal["cpu", "cuda"]) -> None:
        self.info = EngineInfo(NAME, device)
        self.waits = scorer.waits
        self._scorer = scorer
        self._prompts = prompts

    def bind(self, task: ClassificationTask) -> LlmClassifier:
        """Raises ModelError where the labels leave the text no room in the model's window."""
        return LlmClassifier(self._scorer.bind(self._prompts.prompt(task)), task)


def load(threads: int | None, weights: str | None) -> Llm:
    """``weights``: a folder or a hub name. Raises ModelUnavailable when they or the packages are missing."""
    device = choose_device(threads, INSTALL)
    folder = model_folder(weights or DEFAULT_MODEL)
    if not (folder / "config.json").is_file():
        raise ModelUnavailable(f"{folder} holds no config.json, so no language model.")
    scorer: LabelScorer
    if device.name == "cuda" and find_spec("vllm") is not None:
        import torch

        scorer = VllmScorer(folder, tensor_parallel_size=torch.cuda.device_count())
    else:
        if device.name == "cuda":
            logger.warning("vLLM is not installed; the model runs through transformers, several times slower")
        scorer = TransformersScorer(folder, device)
    return Llm(scorer, PromptTokenizer(folder, scorer.window), device.name)


def load_token_counter(weights: str | None) -> TextTokenizer:
    folder = model_folder(weights or DEFAULT_MODEL, ("tokenizer.json",))
    return TextTokenizer(tokenizer_file(folder), literal=True)
