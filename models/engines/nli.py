"""An entailment model asked, for each label, whether the text entails that it is about it.

Cost: one pass for each pair of text and label, so fifty labels cost fifty times one. Hardware: a GPU (it runs on a
CPU in 32-bit floats). Pick it for few labels that need reading rather than topic words (stance, intent, "asks for a
refund"), and files of thousands rather than millions. Examples are not used, for an entailment model has no place
for them; descriptions and source_type are. Confidence is the model's own probability, not calibrated by us. Needs
the extra ``nli``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.batching import BatchShapes, plan_batches
from models.decision import decide
from models.engines.torch_device import TorchDevice, choose_device
from models.exceptions import ModelUnavailable
from models.protocol import Counts, EngineInfo, OnBatch
from models.task import ClassificationTask, Prediction
from models.tokenization import TextTokenizer, TokenIds, cut_windows, portions
from models.weights import model_folder
from models.window_encoder import PaddedBatch, SpecialTokens, padded

NAME = "nli"
DEFAULT_MODEL = "MoritzLaurer/deberta-v3-base-zeroshot-v2.0"
INSTALL = "pip install 'labelworks[nli]'"
BATCHES = {"cuda": BatchShapes(budget=32_768, step=16), "cpu": BatchShapes(budget=1_024, step=16)}
WINDOW = 512
LEAST_ROOM = 16
"""The fewest tokens of a text that must fit beside a hypothesis."""
TEXTS_AT_ONCE = 512
CHARACTERS_AT_ONCE = 1_048_576

Floats = npt.NDArray[np.float64]


class PairModel:
    """A transformers classifier of pairs; answers with the log-odds of entailment."""

    def __init__(self, folder: Path, device: TorchDevice) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification

        self._torch = torch
        self._device = device
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=device.dtype, local_files_only=True)
        self._model: Any = model.to(device.name).eval()
        config = self._model.config
        self._entailment = _entailment_index(dict(config.id2label))
        self.window = min(WINDOW, int(getattr(config, "max_position_embeddings", WINDOW)))
        self.padding = int(config.pad_token_id or 0)
        self._segments = int(getattr(config, "type_vocab_size", 0)) > 1

    def log_odds(self, batch: PaddedBatch, second: int) -> Floats:
        """One number a row; the last ``second`` tokens of a row are its second segment."""
        torch = self._torch
        with torch.inference_mode():
            ids = self._device.send(torch.from_numpy(batch.ids)).long()
            lengths = self._device.send(torch.from_numpy(batch.lengths)).long()
            places = torch.arange(ids.shape[1], device=ids.device)[None]
            mask = places < lengths[:, None]
            inputs = {"input_ids": ids, "attention_mask": mask.long()}
            if self._segments:
                inputs["token_type_ids"] = (mask & (places >= lengths[:, None] - second)).long()
            scores = self._model(**inputs).logits.double()
            wanted = scores[:, self._entailment]
            others = torch.cat([scores[:, : self._entailment], scores[:, self._entailment + 1 :]], dim=1)
            answer: Floats = (wanted - others.logsumexp(dim=1)).cpu().numpy()
            return answer


class NliClassifier:
    """A text that is longer than the window answers with the mean of its windows, weighted by their tokens."""

    def __init__(
        self, model: PairModel, tokenizer: TextTokenizer, shapes: BatchShapes, task: ClassificationTask
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._shapes = shapes
        self._task = task
        self._around = [_around(tokenizer, hypothesis(task, label), model) for label in task.labels]

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        predictions: list[Prediction] = []
        for portion in portions(texts, CHARACTERS_AT_ONCE, TEXTS_AT_ONCE):
            ids, tokens = self._tokenizer.ids(portion)
            columns = [self._label_log_odds(ids, tokens, special, on_batch) for special in self._around]
            predictions.extend(decide(self._task, self._probabilities(np.stack(columns, axis=1)), tokens))
            if on_batch is not None:
                on_batch(len(portion), int(tokens.sum()))
        return predictions

    def _label_log_odds(
        self, ids: TokenIds, tokens: Counts, special: SpecialTokens, on_batch: OnBatch | None
    ) -> Floats:
        windows = cut_windows(ids, tokens, self._model.window - special.count)
        answers = np.empty(len(windows.lengths), np.float64)
        for batch in plan_batches(windows.lengths + special.count, self._shapes):
            # All that comes after the text is the hypothesis, but for the separator between the two.
            log_odds = self._model.log_odds(padded(windows, batch, special), len(special.after) - 1)
            answers[batch.members] = log_odds[: len(batch.members)]
            if on_batch is not None:
                on_batch(0, 0)
        weights = np.maximum(windows.lengths, 1).astype(np.float64)
        sums = np.bincount(windows.owners, weights * answers, len(tokens))
        return sums / np.bincount(windows.owners, weights, len(tokens))

    def _probabilities(self, log_odds: Floats) -> Floats:
        if self._task.mode == "multi" or len(self._task.labels) == 1:
            return 1 / (1 + np.exp(-log_odds))
        powers: Floats = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
        shares: Floats = powers / powers.sum(axis=1, keepdims=True)
        return shares


class Nli:
    """Loaded weights for any number of tasks."""

    def __init__(self, model: PairModel, tokenizer: TextTokenizer, device: Literal["cpu", "cuda"]) -> None:
        self.info = EngineInfo(NAME, device, "per_text_and_label")
        self._model = model
        self._tokenizer = tokenizer

    def bind(self, task: ClassificationTask) -> NliClassifier:
        return NliClassifier(self._model, self._tokenizer, BATCHES[self.info.device], task)


def load(threads: int | None, weights: str | None) -> Nli:
    """``weights``: a folder or a hub name. Raises ModelUnavailable when they or torch are missing."""
    device = choose_device(threads, INSTALL)
    folder = model_folder(weights or DEFAULT_MODEL)
    if not (folder / "tokenizer.json").is_file():
        raise ModelUnavailable(f"{folder} holds no tokenizer.json; save the model with a fast tokenizer.")
    return Nli(PairModel(folder, device), TextTokenizer(folder / "tokenizer.json"), device.name)


def load_token_counter(weights: str | None) -> TextTokenizer:
    return TextTokenizer(model_folder(weights or DEFAULT_MODEL, ("tokenizer.json",)) / "tokenizer.json")


def hypothesis(task: ClassificationTask, label: str) -> str:
    """What a text must entail to have the label."""
    subject = f"This {task.source_type or 'text'} is about {label}"
    description = task.descriptions.get(label, "").strip()
    return f"{subject}: {description}" if description else f"{subject}."


def _around(tokenizer: TextTokenizer, hypothesis: str, model: PairModel) -> SpecialTokens:
    """The pair's tokens with the text's own cut out: the hypothesis is as constant as the special tokens."""
    inside = tokenizer.ids(["a"])[0].tolist()
    pair = tokenizer.wrapped_ids("a", hypothesis)
    before = next(_places(list(pair), inside), None)
    if before is None:
        raise ModelUnavailable("The tokenizer changes a text's tokens when it adds special ones; it cannot be used.")
    special = SpecialTokens(pair[:before], pair[before + len(inside) :], model.padding)
    room = model.window - LEAST_ROOM - len(special.before)
    return SpecialTokens(special.before, _shortened(special.after, room), model.padding)


def _shortened(after: tuple[int, ...], room: int) -> tuple[int, ...]:
    """A hypothesis too long for the window loses its end, but not the token that closes it."""
    return after if len(after) <= room else (*after[: room - 1], after[-1])


def _places(values: list[int], wanted: list[int]) -> Iterator[int]:
    return (place for place in range(len(values)) if values[place : place + len(wanted)] == wanted)


def _entailment_index(names: dict[int, str]) -> int:
    found = [number for number, name in names.items() if name.lower() == "entailment"]
    if len(found) != 1:
        raise ModelUnavailable(f"The model's classes {sorted(names.values())} have no single 'entailment' among them.")
    return found[0]
