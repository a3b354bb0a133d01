"""Any sentence-embedding model of the transformers library, by folder or hub name, on a GPU through torch.

Cost: one pass a text, whatever the number of labels. Hardware: a GPU, where it computes in bfloat16 (it runs on a
CPU in 32-bit floats, several times slower than ``minilm`` does the same model). Pick it where ``minilm`` is not
right often enough and texts come by the million: a 100-to-400-million-parameter encoder is the best accuracy a
cheap GPU gives at thousands of texts a second. Needs the extra ``embedding``.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from models.batching import BatchShapes
from models.embedding_classifier import EmbeddingClassifier
from models.engines.torch_device import TorchDevice, choose_device
from models.exceptions import ModelUnavailable
from models.protocol import Encoder, EngineInfo, Vectors
from models.task import ClassificationTask
from models.tokenization import TextTokenizer
from models.weights import model_folder
from models.window_encoder import PaddedBatch, SpecialTokens, WindowEncoder

NAME = "embedding"
DEFAULT_MODEL = "sentence-transformers/all-mpnet-base-v2"
INSTALL = "pip install 'labelworks[embedding]'"
BATCHES = {"cuda": BatchShapes(budget=32_768, step=16), "cpu": BatchShapes(budget=1_024, step=16)}
IN_FLIGHT = 4
"""Batches handed to the GPU before the first answer is fetched, so that it never waits for Python."""

Pooling = Literal["mean", "first", "last"]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What the files of a sentence-transformers model say of how it is to be used."""

    path: Path
    pooling: Pooling
    window: int
    padding: int

    @classmethod
    def read(cls, path: Path) -> ModelFolder:
        """Raises ModelUnavailable where a needed file is missing or asks for a pooling that is not known."""
        config = _json(path / "config.json")
        if config is None:
            raise ModelUnavailable(f"{path} holds no config.json, so no model of the transformers library.")
        if not (path / "tokenizer.json").is_file():
            raise ModelUnavailable(f"{path} holds no tokenizer.json; save the model with a fast tokenizer.")
        sentence = _json(path / "sentence_bert_config.json") or {}
        positions = int(config.get("max_position_embeddings", 512))
        # RoBERTa counts positions from the padding id on, so its tables are longer than its windows.
        positions -= 2 if config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet") else 0
        window = min(int(sentence.get("max_seq_length") or positions), positions)
        padding = int(config.get("pad_token_id") or 0)
        return cls(path, _pooling(path), window, padding)


class TorchRunner:
    """A BatchRunner over a transformers model; copies to and from the GPU run beside its work."""

    def __init__(self, folder: ModelFolder, device: TorchDevice) -> None:
        import torch
        from transformers import AutoModel

        self._torch = torch
        self._device = device
        self._pooling = folder.pooling
        model = AutoModel.from_pretrained(
            folder.path, dtype=device.dtype, attn_implementation="sdpa", local_files_only=True
        )
        self._model: Any = model.to(device.name).eval()

    @property
    def dimension(self) -> int:
        return int(self._model.config.hidden_size)

    def run(self, batches: Iterable[PaddedBatch]) -> Iterator[Vectors]:
        waiting: deque[tuple[Any, Any]] = deque()
        for batch in batches:
            waiting.append(self._start(batch))
            if len(waiting) == IN_FLIGHT:
                yield self._fetch(*waiting.popleft())
        while waiting:
            yield self._fetch(*waiting.popleft())

    def _start(self, batch: PaddedBatch) -> tuple[Any, Any]:
        torch = self._torch
        with torch.inference_mode():
            ids = self._device.send(torch.from_numpy(batch.ids)).long()
            lengths = self._device.send(torch.from_numpy(batch.lengths)).long()
            mask = torch.arange(ids.shape[1], device=ids.device)[None] < lengths[:, None]
            states = self._model(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
            pooled = self._pool(states, mask, lengths)
            return self._device.fetch(torch.nn.functional.normalize(pooled, dim=1))

    def _pool(self, states: Any, mask: Any, lengths: Any) -> Any:
        if self._pooling == "mean":
            return (states * mask[:, :, None]).sum(1) / lengths[:, None]
        rows = self._torch.arange(len(states), device=states.device)
        return states[:, 0] if self._pooling == "first" else states[rows, lengths - 1]

    @staticmethod
    def _fetch(vectors: Any, arrived: Any) -> Vectors:
        if arrived is not None:
            arrived.synchronize()
        return cast(Vectors, np.array(vectors.numpy(), np.float32))


class Embedding:
    """Loaded weights; ``encoder`` is what any number of tasks share."""

    def __init__(self, encoder: Encoder, device: Literal["cpu", "cuda"]) -> None:
        self.info = EngineInfo(NAME, device, "per_text")
        self.encoder = encoder

    def bind(self, task: ClassificationTask) -> EmbeddingClassifier:
        return EmbeddingClassifier(self.encoder, task, NAME)


def load(threads: int | None, weights: str | None) -> Embedding:
    """``weights``: a folder or a hub name. Raises ModelUnavailable when they or torch are missing."""
    device = choose_device(threads, INSTALL)
    folder = ModelFolder.read(model_folder(weights or DEFAULT_MODEL))
    tokenizer = TextTokenizer(folder.path / "tokenizer.json")
    runner = TorchRunner(folder, device)
    encoder = WindowEncoder(
        tokenizer, runner, special_tokens(tokenizer, folder.padding), folder.window, BATCHES[device.name]
    )
    return Embedding(encoder, device.name)


def load_token_counter(weights: str | None) -> TextTokenizer:
    return TextTokenizer(model_folder(weights or DEFAULT_MODEL, ("tokenizer.json",)) / "tokenizer.json")


def special_tokens(tokenizer: TextTokenizer, padding: int) -> SpecialTokens:
    """What the tokenizer puts before and after a text, found by giving it one."""
    around, inside = tokenizer.wrapped_ids("a"), tokenizer.ids(["a"])[0].tolist()
    for start in range(len(around) - len(inside) + 1):
        if list(around[start : start + len(inside)]) == inside:
            return SpecialTokens(around[:start], around[start + len(inside) :], padding)
    raise ModelUnavailable("The tokenizer changes a text's tokens when it adds special ones; it cannot be used.")


def _pooling(path: Path) -> Pooling:
    wanted = _json(path / "1_Pooling" / "config.json") or {"pooling_mode_mean_tokens": True}
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


def _json(path: Path) -> dict[str, Any] | None:
    return cast(dict[str, Any], json.loads(path.read_text("utf-8"))) if path.is_file() else None
