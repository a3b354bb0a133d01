"""An entailment model asked, for each label, whether the text entails that it is about it.

Cost: one pass for each pair of text and label, so fifty labels cost fifty times one. Hardware: a GPU (it runs on a
CPU in 32-bit floats). Pick it for few labels that need reading rather than topic words (stance, intent, "asks for a
refund"), and files of thousands rather than millions. Examples are not used, for an entailment model has no place
for them; descriptions and source_type are. Confidence is the model's own probability, not calibrated by us. Needs
the extra ``nli``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.calibration import label_probabilities
from models.decision import decide
from models.exceptions import ModelUnavailable
from models.lookahead import Waits
from models.on_torch.device import TorchDevice, choose_device
from models.on_torch.text_stream import Buckets, RowBatch, TextStream, special_tokens
from models.protocol import EngineInfo, OnBatch
from models.task import ClassificationTask, Prediction
from models.tokenization import TextTokenizer, portions
from models.weights import model_folder, tokenizer_file
from models.window_encoder import SpecialTokens

NAME = "nli"
USES_GPU = True
DEFAULT_MODEL = "MoritzLaurer/deberta-v3-base-zeroshot-v2.0"
INSTALL = "pip install 'labelworks[nli]'"
WINDOW = 512
LEAST_ROOM = 16
"""The fewest tokens of a text that must fit beside a hypothesis."""
TEXTS_AT_ONCE = 8_192
CHARACTERS_AT_ONCE = 4_194_304


class PairModel:
    """A transformers classifier of pairs; answers with the log-odds of entailment."""

    def __init__(self, folder: Path, device: TorchDevice) -> None:
        from transformers import AutoModelForSequenceClassification

        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=device.dtype, local_files_only=True)
        self._model: Any = model.to(device.name).eval()
        config = self._model.config
        self._entailment = _entailment_index(dict(config.id2label))
        self.window = min(WINDOW, int(getattr(config, "max_position_embeddings", WINDOW)))
        self.padding = int(config.pad_token_id or 0)
        self._segments = int(getattr(config, "type_vocab_size", 0)) > 1

    def forward(self, batch: RowBatch) -> Any:
        """One number a row. All that comes after the text is its second segment, but for the first separator."""
        import torch

        mask = batch.mask()
        inputs = {"input_ids": batch.ids, "attention_mask": mask.long()}
        if self._segments:
            places = torch.arange(mask.shape[1], device=mask.device)[None]
            inputs["token_type_ids"] = (mask & (places > (batch.lengths - batch.tails)[:, None])).long()
        scores = self._model(**inputs).logits.float()
        wanted = scores[:, self._entailment]
        others = torch.cat([scores[:, : self._entailment], scores[:, self._entailment + 1 :]], dim=1)
        return (wanted - others.logsumexp(dim=1))[:, None]


class NliClassifier:
    """A text that is longer than the window answers with the mean of its windows, weighted by their tokens."""

    def __init__(self, stream: TextStream, questions: Sequence[SpecialTokens], task: ClassificationTask) -> None:
        self._stream = stream
        self._questions = questions
        self._task = task

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        predictions: list[Prediction] = []
        for portion in portions(texts, CHARACTERS_AT_ONCE, TEXTS_AT_ONCE):
            answers, tokens = self._stream.read(portion, self._questions, on_batch)
            log_odds = answers[:, :, 0].astype(np.float64)
            predictions.extend(decide(self._task, label_probabilities(self._task, log_odds), tokens))
        return predictions


class Nli:
    """Loaded weights for any number of tasks."""

    def __init__(self, model: PairModel, tokenizer: TextTokenizer, device: TorchDevice) -> None:
        self.info = EngineInfo(NAME, device.name)
        self._model = model
        self._tokenizer = tokenizer
        self._device = device
        self.waits = Waits()

    def bind(self, task: ClassificationTask) -> NliClassifier:
        questions = [_around(self._tokenizer, hypothesis(task, label), self._model) for label in task.labels]
        window = self._model.window
        buckets = Buckets.up_to(window, self._device, min(question.count for question in questions))
        stream = TextStream(self._tokenizer, self._model.forward, self._device, window, buckets, self.waits)
        return NliClassifier(stream, questions, task)


def load(threads: int | None, weights: str | None) -> Nli:
    """``weights``: a folder or a hub name. Raises ModelUnavailable when they or torch are missing."""
    device = choose_device(threads, INSTALL)
    folder = model_folder(weights or DEFAULT_MODEL)
    tokenizer = TextTokenizer(tokenizer_file(folder), literal=True)
    return Nli(PairModel(folder, device), tokenizer, device)


def load_token_counter(weights: str | None) -> TextTokenizer:
    folder = model_folder(weights or DEFAULT_MODEL, ("tokenizer.json",))
    return TextTokenizer(tokenizer_file(folder), literal=True)


def hypothesis(task: ClassificationTask, label: str) -> str:
    """What a text must entail to have the label."""
    subject = f"This {task.source_type or 'text'} is about {label}"
    description = task.description(label)
    return f"{subject}: {description}" if description else f"{subject}."


def _around(tokenizer: TextTokenizer, hypothesis: str, model: PairModel) -> SpecialTokens:
    """The pair's tokens with the text's own cut out: the hypothesis is as constant as the special tokens."""
    special = special_tokens(tokenizer, model.padding, hypothesis)
    room = model.window - LEAST_ROOM - len(special.before)
    return SpecialTokens(special.before, _shortened(special.after, room), model.padding)


def _shortened(after: tuple[int, ...], room: int) -> tuple[int, ...]:
    """A hypothesis too long for the window loses its end, but not the token that closes it."""
    return after if len(after) <= room else (*after[: room - 1], after[-1])


def _entailment_index(names: dict[int, str]) -> int:
    found = [number for number, name in names.items() if name.lower() == "entailment"]
    if len(found) != 1:
        raise ModelUnavailable(f"The model's classes {sorted(names.values())} have no single 'entailment' among them.")
    return found[0]
