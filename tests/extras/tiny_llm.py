"""A language model with random weights, in the files that real ones have; needs transformers alone."""

from __future__ import annotations

import string
from itertools import product
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def save_tiny_llm(folder: Path, chat_template: str | None = None) -> Path:
    """A language model that reads bytes, but for the ids of labels and yes and no, which are one token each."""
    torch.manual_seed(3)
    pairs = ["".join(pair) for pair in product(string.ascii_uppercase, repeat=2)]
    merges = [("Y", "e"), ("Ye", "s"), ("N", "o"), *((pair[0], pair[1]) for pair in pairs if pair != "No")]
    merges += [("Ġ", word) for word in [*string.ascii_uppercase, *pairs, "Yes", "No"]]
    words = [*sorted(ByteLevel.alphabet()), *("".join(merge) for merge in merges)]
    tokenizer = Tokenizer(BPE({word: number for number, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", len(words))])
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words) + 1,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=8_192,
            initializer_range=0.3,
            bos_token_id=len(words),
            eos_token_id=None,
            pad_token_id=None,
        )
    ).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=chat_template).save_pretrained(folder)
    return folder
