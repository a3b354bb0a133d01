"""Models with a few thousand random weights, in the files that real ones have."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path

import torch
from gliclass import GLiClassModel, GLiClassModelConfig
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, BertModel

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHARACTERS = list(string.ascii_lowercase + string.digits + string.punctuation)
WINDOW = 64


def save_tiny_bert(folder: Path, pooling: str = "mean_tokens", *, cased: bool = False) -> Path:
    """A sentence encoder that reads single characters, 64 at once. A ``cased`` one knows no word with capitals."""
    torch.manual_seed(0)
    BertModel(_config()).save_pretrained(folder)
    _save_tokenizer(folder, lowercase=not cased)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))
    return folder


def save_tiny_entailment(folder: Path) -> Path:
    """A classifier of text pairs into contradiction, neutral and entailment."""
    torch.manual_seed(1)
    config = _config()
    config.id2label = {0: "contradiction", 1: "neutral", 2: "entailment"}
    config.label2id = {name: number for number, name in config.id2label.items()}
    BertForSequenceClassification(config).save_pretrained(folder)
    _save_tokenizer(folder)
    return folder


def save_tiny_gliclass(folder: Path, pooling: str = "first", prompt_first: bool = True) -> Path:
    """A model that reads labels and text in one sequence of 512 characters."""
    torch.manual_seed(2)
    marks = ["<<LABEL>>", "<<SEP>>", "<<EXAMPLE>>"]
    encoder = _config(positions=512, extra=len(marks))
    config = GLiClassModelConfig(
        encoder_config=encoder.to_dict(),
        encoder_model="tiny",
        class_token_index=encoder.vocab_size - 3,
        text_token_index=encoder.vocab_size - 2,
        example_token_index=encoder.vocab_size - 1,
        pooling_strategy=pooling,
        prompt_first=prompt_first,
        initializer_range=0.3,
        normalize_features=True,
        logit_scale_init_value=5.0,
    )
    GLiClassModel(config).save_pretrained(folder)
    _save_tokenizer(folder, marks)
    return folder


def _config(positions: int = WINDOW, extra: int = 0) -> BertConfig:
    return BertConfig(
        vocab_size=len(SPECIAL) + 2 * len(CHARACTERS) + extra,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=positions,
        initializer_range=0.3,
    )


def _save_tokenizer(folder: Path, marks: Sequence[str] = (), *, lowercase: bool = True) -> None:
    words = [*SPECIAL, *CHARACTERS, *(f"##{character}" for character in CHARACTERS)]
    tokenizer = Tokenizer(WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens([*SPECIAL, *marks])
    tokenizer.save(str(folder / "tokenizer.json"))
