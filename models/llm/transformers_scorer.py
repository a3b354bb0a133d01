"""Any causal language model of the transformers library: the likelihoods of a prompt's choices, computed exactly.

The prompt's head runs once a task; its keys and values are shared by all texts. A text runs once, and its keys and
values are shared by the questions about it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.exceptions import ModelUnavailable
from models.llm.prompt_tokens import PromptTokens
from models.lookahead import Waits
from models.on_torch.device import TorchDevice
from models.on_torch.text_stream import Answers, Buckets, RowBatch, TextStream
from models.protocol import Counts, OnBatch
from models.tokenization import TextTokenizer
from models.weights import tokenizer_file
from models.window_encoder import SpecialTokens

WINDOW = 8_192
KEPT_TOKENS = {"cuda": 65_536, "cpu": 4_096}
"""Whose keys and values a batch holds; of an 8-billion-parameter model some 8 GB."""


class TransformersScorer:
    """A loaded model. ``window``: how many tokens it reads at once."""

    def __init__(self, folder: Path, device: TorchDevice) -> None:
        from transformers import AutoConfig, AutoModelForCausalLM

        kinds = AutoConfig.from_pretrained(folder, local_files_only=True).architectures or []
        if not any(mark in kind for kind in kinds for mark in ("CausalLM", "LMHead", "ConditionalGeneration")):
            raise ModelUnavailable(f"{folder} holds {' and '.join(kinds) or 'no model'}, which is no language model.")
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=device.dtype, attn_implementation="sdpa", local_files_only=True
        )
        accepted = inspect.signature(model.forward).parameters
        if getattr(model, "_is_stateful", False) or not {"position_ids", "logits_to_keep"} <= set(accepted):
            raise ModelUnavailable(
                f"{type(model).__name__} keeps no keys and values that texts could share. Use a model with attention "
                f"in all layers, or install vLLM: pip install 'labelworks[llm]'."
            )
        self.model = model.to(device.name).eval()
        self.cache_argument = "cache" if "cache" in accepted else "past_key_values"
        self.device = device
        self.waits = Waits()
        config = model.config.get_text_config()
        # Within one sliding window every token sees all before it, whatever padding lies between them.
        limits = (config.max_position_embeddings, getattr(config, "sliding_window", None) or WINDOW)
        self.window = min(WINDOW, *limits)
        self._literal = TextTokenizer(tokenizer_file(folder), literal=True)

    def bind(self, prompt: PromptTokens) -> TransformersReader:
        return TransformersReader(self, prompt, self._literal)


class TransformersReader:
    """A model with a prompt's head in its memory."""

    def __init__(self, scorer: TransformersScorer, prompt: PromptTokens, tokenizer: TextTokenizer) -> None:
        import torch

        self._scorer = scorer
        self._prompt = prompt
        device, room = scorer.device, prompt.room(scorer.window)
        self._questions = [torch.tensor([ids], device=device.name) for ids in prompt.questions]
        self._choices = torch.tensor(prompt.choices, device=device.name)
        self._head = self._keys_and_values(prompt.head)
        plain = Buckets.up_to(room, device)
        buckets = Buckets(plain.widths, KEPT_TOKENS[device.name], plain.filled, prompt.around)
        self._stream = TextStream(tokenizer, self._forward, device, room, buckets, scorer.waits)

    def log_probabilities(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Answers, Counts]:
        answers, tokens = self._stream.read(texts, [SpecialTokens((), (), 0)], on_batch)
        return answers.reshape(len(texts), len(self._prompt.questions), len(self._prompt.choices)), tokens

    def _keys_and_values(self, ids: Sequence[int]) -> list[tuple[Any, Any]]:
        import torch
        from transformers import DynamicCache

        cache: Any = DynamicCache()
        with torch.inference_mode():
            self._run(cache, torch.tensor([ids], device=self._scorer.device.name))
        return [(layer.keys, layer.values) for layer in cache.layers]

    def _forward(self, batch: RowBatch) -> Any:
        """Log-probabilities of the choices after each question, of shape (rows, questions x choices)."""
        import torch
        from transformers import DynamicCache

        rows, width = batch.ids.shape
        shared = [(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)) for keys, values in self._head]
        cache: Any = DynamicCache(shared)
        head = len(self._prompt.head)
        mask = torch.cat([batch.mask().new_ones(rows, head), batch.mask()], dim=1)
        places = torch.arange(width, device=batch.ids.device)
        self._run(cache, batch.ids, mask, (head + places)[None].expand(rows, -1))
        answers = []
        for question in self._questions:
            length = question.shape[1]
            asked = torch.cat([mask, mask.new_ones(rows, length)], dim=1)
            # The question follows the text's last token, not the padding after it.
            places = torch.arange(length, device=batch.ids.device)
            logits = self._run(cache, question.expand(rows, -1), asked, head + batch.lengths[:, None] + places)
            answers.append(logits[:, -1].float().log_softmax(dim=1)[:, self._choices])
            cache.crop(-length)
        return torch.cat(answers, dim=1)

    def _run(self, cache: Any, ids: Any, mask: Any = None, positions: Any = None) -> Any:
        """The logits after the last token; ``cache`` grows by the ids' keys and values."""
        inputs = {"input_ids": ids, self._scorer.cache_argument: cache, "use_cache": True, "logits_to_keep": 1}
        if mask is not None:
            inputs |= {"attention_mask": mask.long(), "position_ids": positions}
        return self._scorer.model(**inputs).logits
