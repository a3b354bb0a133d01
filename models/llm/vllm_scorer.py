"""Any language model that vLLM runs: one request a text and question, answered with its choices' log-probabilities.

vLLM keeps the keys and values of what requests have in common, the prompt's head and a text with several questions.
Its log-probabilities may depend in their last digits on what else is in a batch, unless VLLM_BATCH_INVARIANT=1 is set
on hardware that supports it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.exceptions import ModelUnavailable
from models.llm.prompt_tokens import PromptTokens
from models.lookahead import Waits, ahead
from models.on_torch.text_stream import Answers
from models.protocol import Counts, OnBatch
from models.tokenization import TextTokenizer, Windows, cut_windows, portions
from models.weights import tokenizer_file

WINDOW = 8_192
MOST_CHOICES = 128
"""For how many tokens vLLM answers a request with log-probabilities; more take a second request for the same text."""
REQUESTS_AT_ONCE = 8_192
CHARACTERS_AT_ONCE = 1_048_576


@dataclass(frozen=True, slots=True)
class Request:
    """Token ids, and those whose log-probabilities after them are asked for."""

    ids: tuple[int, ...]
    choices: tuple[int, ...]


class VllmScorer:
    """A loaded model. ``options`` go to ``vllm.LLM`` as they are.

    Raises ModelUnavailable where vLLM cannot run the model here.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        from vllm import LLM

        config: dict[str, Any] = {
            "model": str(folder),
            "skip_tokenizer_init": True,
            "enable_prefix_caching": True,
            "max_logprobs": MOST_CHOICES,
            "max_model_len": model_window(folder),
            "seed": 0,
        }
        try:
            self.llm: Any = LLM(**(config | options))
        except Exception as error:
            raise ModelUnavailable(
                f"vLLM cannot run the model in {folder} ({type(error).__name__}: {error}). Name a model that vLLM knows"
                f" and that fits this machine's GPUs; vLLM's own log says more."
            ) from error
        self.window = int(self.llm.model_config.max_model_len)
        self.waits = Waits()
        self._literal = TextTokenizer(tokenizer_file(folder), literal=True)

    def bind(self, prompt: PromptTokens) -> VllmReader:
        return VllmReader(self, prompt, self._literal)


def model_window(folder: Path) -> int:
    """How many tokens are read at once: no more than the model's positions, for vLLM refuses to start with more."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    positions = config.get("max_position_embeddings") or config.get("text_config", {}).get("max_position_embeddings")
    return min(WINDOW, int(positions or WINDOW))


class VllmReader:
    """Puts texts into a prompt and its requests to vLLM."""

    def __init__(self, scorer: VllmScorer, prompt: PromptTokens, tokenizer: TextTokenizer) -> None:
        self._scorer = scorer
        self._prompt = prompt
        self._tokenizer = tokenizer

    def log_probabilities(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Answers, Counts]:
        answers: list[Answers] = []
        tokens: list[Counts] = []
        for windows in ahead(self._tokenized(texts), 1, self._scorer.waits):
            read = self._answers(windows)
            weights = np.maximum(windows.lengths, 1).astype(np.float32)
            firsts = np.searchsorted(windows.owners, np.arange(len(windows.tokens)))
            sums: Answers = np.add.reduceat(read * weights[:, None, None], firsts, axis=0)
            sums /= np.add.reduceat(weights, firsts)[:, None, None]
            answers.append(sums)
            tokens.append(windows.tokens)
            if on_batch is not None:
                on_batch(len(windows.tokens), int(windows.tokens.sum()))
        if not answers:
            return np.zeros((0, len(self._prompt.questions), len(self._prompt.choices)), np.float32), np.zeros(
                0, np.int64
            )
        return np.concatenate(answers), np.concatenate(tokens)

    def _tokenized(self, texts: Sequence[str]) -> Iterator[Windows]:
        at_once = max(1, REQUESTS_AT_ONCE // len(self._prompt.questions))
        for portion in portions(texts, CHARACTERS_AT_ONCE, at_once):
            yield cut_windows(*self._tokenizer.ids(portion), self._prompt.room(self._scorer.window))

    def _answers(self, windows: Windows) -> Answers:
        """Of shape (windows, questions, choices)."""
        from vllm import SamplingParams

        asked = [
            request
            for start, length in zip(windows.starts, windows.lengths, strict=True)
            for request in requests(self._prompt, windows.ids[start : start + length].tolist())
        ]
        settings = [
            SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=list(request.choices), detokenize=False)
            for request in asked
        ]
        prompts = [{"prompt_token_ids": list(request.ids)} for request in asked]
        outputs = self._scorer.llm.generate(prompts, settings, use_tqdm=False)
        found = [
            output.outputs[0].logprobs[0][choice].logprob
            for request, output in zip(asked, outputs, strict=True)
            for choice in request.choices
        ]
        shape = (len(windows.lengths), len(self._prompt.questions), len(self._prompt.choices))
        return np.array(found, np.float32).reshape(shape)


def requests(prompt: PromptTokens, text: Sequence[int]) -> Iterator[Request]:
    """What is asked of one window of a text: question by question, so that vLLM finds the text in its cache."""
    for question in prompt.questions:
        ids = (*prompt.head, *text, *question)
        for start in range(0, len(prompt.choices), MOST_CHOICES):
            yield Request(ids, prompt.choices[start : start + MOST_CHOICES])
