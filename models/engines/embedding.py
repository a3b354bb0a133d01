"""Any sentence-embedding model of the transformers library, by folder or hub name, on a GPU through torch.

Cost: one pass a text, whatever the number of labels. Hardware: a GPU, where it computes in bfloat16 (it runs on a
CPU in 32-bit floats, several times slower than ``minilm`` does the same model). Pick it where ``minilm`` is not
right often enough and texts come by the million: a 100-to-400-million-parameter encoder is the best accuracy a
cheap GPU gives at thousands of texts a second. Needs the extra ``embedding``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from models.embedding_classifier import EmbeddingClassifier
from models.exceptions import ModelUnavailable
from models.lookahead import Waits
from models.on_torch.device import TorchDevice, choose_device
from models.on_torch.text_stream import Buckets, RowBatch, TextStream, special_tokens
from models.protocol import Counts, EngineInfo, OnBatch, Vectors
from models.task import ClassificationTask
from models.tokenization import TextTokenizer
from models.weights import model_folder, tokenizer_file
from models.window_encoder import SpecialTokens

NAME = "embedding"
USES_GPU = True
DEFAULT_MODEL = "sentence-transformers/all-mpnet-base-v2"
INSTALL = "pip install 'labelworks[embedding]'"
TEXTS_AT_ONCE = {"cuda": 65_536, "cpu": 8_192}
"""Where a portion ends a GPU has no next batch to work on."""

Pooling = Literal["mean", "first", "last"]
_MODULES = ("Transformer", "Pooling", "Normalize")
_SENTENCE_CONFIG = "sentence_*_config.json"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What the files of a sentence-transformers model say of its use; ``prompt`` comes before each text, and
    ``window`` is the most tokens, special ones included, that the model reads at once.
    """

    path: Path
    pooling: Pooling
    window: int
    padding: int
    prompt: str = ""

    @classmethod
    def read(cls, path: Path) -> ModelFolder:
        """Raises ModelUnavailable where a needed file is missing, or asks for what this engine does not compute."""
        config = _json(path / "config.json")
        if config is None:
            raise ModelUnavailable(f"{path} holds no config.json, so no model of the transformers library.")
        padding = int(config.get("pad_token_id") or 0)
        pooling = _json(_pooling_folder(path) / "config.json") or {"pooling_mode_mean_tokens": True}
        prompt = _default_prompt(path)
        if prompt and pooling.get("include_prompt") is False:
            raise ModelUnavailable(
                f"{path} asks to leave its prompt {prompt!r} out of the pooling, which this engine does not do."
            )
        return cls(path, _pooling(path, pooling), _window(path, config), padding, prompt)


class TorchEncoder:
    """An Encoder over a transformers model."""

    def __init__(self, folder: ModelFolder, tokenizer: TextTokenizer, device: TorchDevice) -> None:
        from transformers import AutoModel

        self._pooling = folder.pooling
        model = AutoModel.from_pretrained(
            folder.path, dtype=device.dtype, attn_implementation="sdpa", local_files_only=True
        )
        self._model: Any = model.to(device.name).eval()
        self._special = _around(tokenizer, folder)
        buckets = Buckets.up_to(folder.window, device)
        self.waits = Waits()
        self._stream = TextStream(tokenizer, self._forward, device, folder.window, buckets, self.waits)

    @property
    def dimension(self) -> int:
        return int(self._model.config.hidden_size)

    def encode(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Vectors, Counts]:
        if not texts:
            return np.empty((0, self.dimension), np.float32), np.empty(0, np.int64)
        answers, tokens = self._stream.read(texts, [self._special], on_batch)
        vectors = answers[:, 0]
        unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return unit, tokens

    def _forward(self, batch: RowBatch) -> Any:
        import torch

        mask = batch.mask()
        states = self._model(input_ids=batch.ids, attention_mask=mask.long()).last_hidden_state.float()
        return torch.nn.functional.normalize(self._pool(states, mask, batch.lengths), dim=1)

    def _pool(self, states: Any, mask: Any, lengths: Any) -> Any:
        import torch

        if self._pooling == "mean":
            return (states * mask[:, :, None]).sum(1) / lengths[:, None]
        rows = torch.arange(len(states), device=states.device)
        return states[:, 0] if self._pooling == "first" else states[rows, lengths - 1]


class Embedding:
    """Loaded weights; ``encoder`` is what any number of tasks share."""

    def __init__(self, encoder: TorchEncoder, device: Literal["cpu", "cuda"]) -> None:
        self.info = EngineInfo(NAME, device)
        self.encoder = encoder
        self.waits = encoder.waits

    def bind(self, task: ClassificationTask) -> EmbeddingClassifier:
        return EmbeddingClassifier(self.encoder, task, NAME, TEXTS_AT_ONCE[self.info.device])


def load(threads: int | None, weights: str | None) -> Embedding:
    """``weights``: a folder or a hub name. Raises ModelUnavailable when they or torch are missing."""
    device = choose_device(threads, INSTALL)
    folder = ModelFolder.read(model_folder(weights or DEFAULT_MODEL))
    return Embedding(TorchEncoder(folder, _tokenizer(folder.path), device), device.name)


def load_token_counter(weights: str | None) -> TextTokenizer:
    return _tokenizer(model_folder(weights or DEFAULT_MODEL, ("tokenizer.json", _SENTENCE_CONFIG)))


def _tokenizer(folder: Path) -> TextTokenizer:
    """As the model's own, in lower case where its files ask for that."""
    lowercase = bool(_sentence_config(folder).get("do_lower_case"))
    return TextTokenizer(tokenizer_file(folder), literal=True, lowercase=lowercase)


def _sentence_config(folder: Path) -> Mapping[str, Any]:
    """What sentence-transformers has written of its encoder; older releases named the file after the architecture."""
    found = (_json(path) for path in sorted(folder.glob(_SENTENCE_CONFIG)))
    return next((config for config in found if config), {})


def _window(folder: Path, config: Mapping[str, Any]) -> int:
    sentence = _sentence_config(folder)
    positions = int(config.get("max_position_embeddings", 512))
    # RoBERTa counts positions from the padding id on, so its tables are longer than its windows.
    positions -= 2 if config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet") else 0
    told = (
        _tokenizer_arguments(sentence).get("model_max_length")
        or sentence.get("max_seq_length")
        or (_json(folder / "tokenizer_config.json") or {}).get("model_max_length")
        or positions
    )
    return min(int(told), positions)


def _tokenizer_arguments(sentence: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the encoder's configuration sets of the tokenizer, under the names that releases gave it."""
    return next((sentence[name] for name in ("processor_kwargs", "tokenizer_args") if sentence.get(name)), {})


def _around(tokenizer: TextTokenizer, folder: ModelFolder) -> SpecialTokens:
    """What comes before and after each window of a text, the prompt included."""
    special = special_tokens(tokenizer, folder.padding)
    if special.count >= folder.window:
        raise ModelUnavailable(
            f"{folder.path} says that the model reads {folder.window} tokens at once (max_seq_length); {special.count}"
            f" of them are special ones, so none are left for a text."
        )
    prompt = tuple(tokenizer.ids([folder.prompt.rstrip()])[0].tolist())
    if len(prompt) > folder.window // 2:
        raise ModelUnavailable(
            f"The default prompt of {folder.path} has {len(prompt)} tokens, more than half of the {folder.window} that"
            f" the model reads at once."
        )
    return SpecialTokens((*special.before, *prompt), special.after, special.padding)


def _pooling_folder(path: Path) -> Path:
    """Raises ModelUnavailable for a model with other modules than an encoder, its pooling and its normalization."""
    found = "1_Pooling"
    for module in _json(path / "modules.json") or ():
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in _MODULES:
            raise ModelUnavailable(
                f"{path} has the module {kind!r} (modules.json), which this engine does not compute; it takes models of"
                f" the modules {', '.join(_MODULES)}."
            )
        if kind == "Pooling":
            found = str(module.get("path") or found)
    return path / found


def _default_prompt(path: Path) -> str:
    config = _json(path / "config_sentence_transformers.json") or {}
    name = config.get("default_prompt_name")
    return str((config.get("prompts") or {}).get(name) or "") if name else ""


def _pooling(path: Path, wanted: Mapping[str, Any]) -> Pooling:
    modes: dict[str, Pooling] = {
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_cls_token": "first",
        "pooling_mode_lasttoken": "last",
        "mean": "mean",
        "cls": "first",
        "lasttoken": "last",
    }
    asked = [mode for name, mode in modes.items() if wanted.get(name) is True or wanted.get("pooling_mode") == name]
    if len(asked) != 1:
        raise ModelUnavailable(f"{path} asks for a pooling other than mean, first or last token: {wanted}.")
    return asked[0]


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8")) if path.is_file() else None
