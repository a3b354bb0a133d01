"""A label-conditioned encoder (GLiClass): it reads the labels and the text together and scores all labels at once.

Cost: one pass a text that also reads the labels, so it grows slowly with them (a few tokens a label; labels that fill
more than half of the window take a further pass). Hardware: a GPU (it runs on a CPU in 32-bit floats). Pick it where
the embedding engines are not right often enough and ``nli`` or ``llm`` would be too slow: labels that need reading,
files of millions. Descriptions are read beside the names; examples are where the model has a token for them;
source_type is told as the task. Confidence is the model's own probability, not calibrated by us. Needs the extra
``gliclass``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.calibration import label_probabilities
from models.decision import decide
from models.exceptions import ModelUnavailable
from models.lookahead import Waits
from models.on_torch.device import TorchDevice, choose_device
from models.on_torch.text_stream import Buckets, RowBatch, TextStream, special_tokens
from models.protocol import Counts, EngineInfo, OnBatch
from models.task import ClassificationTask, Prediction
from models.tokenization import TextTokenizer, TokenIds, portions
from models.weights import model_folder, tokenizer_file
from models.window_encoder import SpecialTokens

NAME = "gliclass"
USES_GPU = True
DEFAULT_MODEL = "knowledgator/gliclass-base-v3.0"
INSTALL = "pip install 'labelworks[gliclass]'"
WINDOW = 1_024
"""What the package's own pipeline reads at most; longer texts are cut into windows."""
LABEL_TOKENS = 64
EXAMPLE_TOKENS = 48
TEXTS_AT_ONCE = 65_536
CHARACTERS_AT_ONCE = 16_777_216
_LABEL, _SEPARATOR, _EXAMPLE = "<<LABEL>>", "<<SEP>>", "<<EXAMPLE>>"
_MARKS = (_LABEL, _SEPARATOR, _EXAMPLE)
# What the model makes of a text with these does not depend on the padding after it.
_UNPADDED_POOLING = ("first",)


class PlainTokenizer(TextTokenizer):
    """A text that spells out one of the model's own marks must not add a label: the mark becomes padding."""

    def __init__(self, path: Path, padding: int) -> None:
        super().__init__(path, literal=True)
        found = (self.id_of(mark) for mark in _MARKS)
        self._marks = np.array([mark for mark in found if mark is not None], np.int32)
        self._padding = padding

    def ids(self, texts: Sequence[str]) -> tuple[TokenIds, Counts]:
        ids, counts = super().ids(texts)
        ids[np.isin(ids, self._marks)] = self._padding
        return ids, counts


class LabelledTextModel:
    """A GLiClass model of the kind that reads labels and text in one sequence."""

    def __init__(self, folder: Path, device: TorchDevice) -> None:
        from gliclass import GLiClassModel

        model = GLiClassModel.from_pretrained(str(folder), dtype=device.dtype, local_files_only=True)
        self.config: Any = model.config
        if self.config.architecture_type != "uni-encoder":
            raise ModelUnavailable(
                f"{folder} is a GLiClass model of the kind {self.config.architecture_type!r}; this engine runs those "
                f"of the kind 'uni-encoder', such as {DEFAULT_MODEL!r}."
            )
        self._model: Any = model.to(device.name).eval()
        encoder = self.config.encoder_config
        # DeBERTa's positions are relative: the number in its configuration is no limit.
        limited = getattr(encoder, "position_biased_input", True)
        self.window = min(WINDOW, int((limited and getattr(encoder, "max_position_embeddings", None)) or WINDOW))
        self.padding = int(self.config.pad_token_id or 0)
        self.depends_on_padding = self.config.pooling_strategy not in _UNPADDED_POOLING or self.config.use_lstm

    def logits(self, batch: RowBatch, labels: int) -> Any:
        """Of so many labels a row; those beyond a row's own mean nothing."""
        mask = batch.mask().long()
        return self._model(input_ids=batch.ids, attention_mask=mask, max_num_classes=labels).logits.float()


@dataclass(frozen=True, slots=True)
class LabelGroup:
    """The labels ``first`` up to ``end`` that one pass asks for, as the tokens around the text."""

    first: int
    end: int
    around: SpecialTokens


class GliClassifier:
    """A text that is longer than the window answers with the mean logits of its windows, weighted by their tokens."""

    def __init__(self, stream: TextStream, groups: Sequence[LabelGroup], task: ClassificationTask) -> None:
        self._stream = stream
        self._groups = groups
        self._task = task

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        predictions: list[Prediction] = []
        for portion in portions(texts, CHARACTERS_AT_ONCE, TEXTS_AT_ONCE):
            answers, tokens = self._stream.read(portion, [group.around for group in self._groups], on_batch)
            logits = np.concatenate(
                [answers[:, place, : group.end - group.first] for place, group in enumerate(self._groups)], axis=1
            ).astype(np.float64)
            predictions.extend(decide(self._task, label_probabilities(self._task, logits), tokens))
        return predictions


class GliClass:
    """Loaded weights for any number of tasks."""

    def __init__(self, model: LabelledTextModel, path: Path, device: TorchDevice) -> None:
        self.info = EngineInfo(NAME, device.name)
        self._model = model
        self._marked = TextTokenizer(path)
        self._special = special_tokens(self._marked, model.padding)
        self._plain = PlainTokenizer(path, model.padding)
        self._separator = tuple(self._marked.ids([_SEPARATOR])[0].tolist())
        self._own = {self._marked.id_of(mark) for mark in _MARKS} | {*self._special.before, *self._special.after}
        self._device = device
        self.waits = Waits()

    def bind(self, task: ClassificationTask) -> GliClassifier:
        groups = list(self._groups(task))
        window = self._model.window
        if self._model.depends_on_padding:
            buckets = Buckets.exact(window, self._device)
        else:
            buckets = Buckets.up_to(window, self._device, min(group.around.count for group in groups))
        forward = partial(self._model.logits, labels=max(group.end - group.first for group in groups))
        stream = TextStream(self._plain, forward, self._device, window, buckets, self.waits)
        return GliClassifier(stream, groups, task)

    def _groups(self, task: ClassificationTask) -> Iterator[LabelGroup]:
        """As many labels a pass as leave half of the window to the text."""
        room = self._model.window // 2 - self._special.count - 1
        prompt = self._tokens(f"Classify this {task.source_type}:\n", room // 8) if task.source_type else ()
        named = [self._tokens(label_text(task, label), LABEL_TOKENS, _LABEL) for label in task.labels]
        room -= len(prompt)
        first = 0
        while first < len(named):
            end = first
            labels: tuple[int, ...] = ()
            while end < len(named) and (end == first or len(labels) + len(named[end]) <= room):
                labels += named[end][:room]
                end += 1
            examples = self._examples(task, task.labels[first:end], room - len(labels))
            yield LabelGroup(first, end, self._around((*labels, *self._separator, *prompt), examples))
            first = end

    def _examples(self, task: ClassificationTask, labels: Sequence[str], room: int) -> tuple[int, ...]:
        """The examples of these labels in turn, as far as there is room."""
        if self._marked.id_of(_EXAMPLE) is None:
            return ()
        shown: tuple[int, ...] = ()
        for label, text in task.examples_in_turn(labels):
            example = self._tokens(text, EXAMPLE_TOKENS, _EXAMPLE)
            example += self._tokens(f" \nLabels:\n {label}", EXAMPLE_TOKENS)
            if len(shown) + len(example) + 1 <= room:
                shown += example
        return (*shown, *self._separator) if shown else ()

    def _around(self, asked: tuple[int, ...], examples: tuple[int, ...]) -> SpecialTokens:
        before, after, padding = self._special.before, self._special.after, self._special.padding
        if self._model.config.prompt_first:
            return SpecialTokens((*before, *asked), (*examples, *after), padding)
        return SpecialTokens(before, (*asked, *examples, *after), padding)

    def _tokens(self, text: str, most: int, mark: str = "") -> tuple[int, ...]:
        """Of what a client wrote, after a ``mark`` of ours: the model's own tokens in it become padding."""
        ids = self._marked.ids([f"{mark}{text}"])[0][:most].tolist()
        ours = ids.index(self._marked.id_of(mark)) if mark else -1
        return tuple(
            self._model.padding if place > ours and each in self._own else each for place, each in enumerate(ids)
        )


def label_text(task: ClassificationTask, label: str) -> str:
    """What the model reads of a label."""
    description = task.description(label)
    return f"{label}: {description}" if description else label


def load(threads: int | None, weights: str | None) -> GliClass:
    """``weights``: a folder or a hub name. Raises ModelUnavailable when they or the packages are missing."""
    device = choose_device(threads, INSTALL, "gliclass")
    folder = model_folder(weights or DEFAULT_MODEL)
    path = tokenizer_file(folder)
    if TextTokenizer(path).id_of(_LABEL) is None:
        raise ModelUnavailable(f"The tokenizer of {folder} has no token {_LABEL!r}, so this is no GLiClass model.")
    return GliClass(LabelledTextModel(folder, device), path, device)


def load_token_counter(weights: str | None) -> TextTokenizer:
    folder = model_folder(weights or DEFAULT_MODEL, ("tokenizer.json",))
    return TextTokenizer(tokenizer_file(folder), literal=True)
