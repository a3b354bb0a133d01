"""Vectors of texts in, calibrated probabilities of a task's labels out; fitted to the request alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.calibration import (
    Calibration,
    calibration,
    multi_probabilities,
    request_kind,
    sigmoid,
    single_probabilities,
)
from models.prompts import absence_prompts, label_prompts
from models.protocol import Encoder, Vectors
from models.scoring_examples import encode_examples, fit_example_head
from models.scoring_prompts import Floats, centred, label_directions, unit
from models.task import ClassificationTask

SHARPNESS = 18.0
"""Log-odds a unit of prompt score times spread; decides against how strong an opinion examples are weighed."""
MULTI_SHARPNESS = 12.0
"""The same in ``multi``: lower, as labels do not exclude each other."""
ABSENCE_SHARE = 0.75
DETECTION_PRIOR = 8.0
"""Examples as many as which the prompts count for in the vector of a label that stands alone."""
LONE_EXAMPLES_SHARE = 0.1
"""Of a label's mean example in its vector where no other label has any to be compared with."""


class Scorer(Protocol):
    """What a task knows of its labels, ready for any number of texts."""

    def probabilities(self, vectors: Vectors) -> npt.NDArray[np.float64]:
        """Shape (texts, labels). Rows sum to 1 in ``single``; in ``multi`` and for one label each stands alone.

        A row depends on its vector alone.
        """
        ...


def fit_scorer(encoder: Encoder, task: ClassificationTask, engine: str) -> Scorer:
    """Encodes what the request says of each label. ``engine`` picks the calibration of its vectors."""
    numbers = calibration(engine, request_kind(task))
    return fit_detector(encoder, task, numbers) if len(task.labels) == 1 else fit_chooser(encoder, task, numbers)


@dataclass(frozen=True, slots=True)
class ChoiceScorer:
    """Log-odds before calibration = vectors @ weights + bias, centred over the labels.

    ``trust`` is this task's own factor on the calibration of ``single``.
    """

    weights: Floats
    bias: Floats
    trust: float
    multi: bool
    calibration: Calibration

    def logits(self, vectors: npt.NDArray[np.floating]) -> Floats:
        """Shape (texts, labels), before calibration."""
        logits: Floats = vectors @ self.weights + self.bias
        return logits

    def probabilities(self, vectors: Vectors) -> npt.NDArray[np.float64]:
        logits = self.logits(vectors)
        if self.multi:
            return multi_probabilities(logits / MULTI_SHARPNESS, MULTI_SHARPNESS, self.calibration.multi)
        return single_probabilities(self.calibration.single * self.trust * logits)


@dataclass(frozen=True, slots=True)
class DetectionScorer:
    """How much closer a text is to the only label than to such texts in general.

    Examples are such texts themselves, so their share in the label's vector brings every text closer.
    """

    direction: Floats
    examples_share: float
    calibration: Calibration

    def features(self, vectors: npt.NDArray[np.floating]) -> Floats:
        """Shape (texts, 2), before calibration: the score and the share of examples."""
        return np.column_stack([vectors @ self.direction, np.full(len(vectors), self.examples_share)])

    def probabilities(self, vectors: Vectors) -> npt.NDArray[np.float64]:
        offset, *slopes = self.calibration.detection
        return sigmoid(offset + self.features(vectors) @ np.array(slopes))[:, None]


def fit_chooser(encoder: Encoder, task: ClassificationTask, numbers: Calibration) -> ChoiceScorer:
    """For two labels or more.

    Examples are compared with each other alone: they move the labels that have some against each other, by 0 on
    average, and so leave a label that has none where its prompts put it. A regression over all labels would learn
    of such a label only that nothing belongs to it.
    """
    prompts = label_directions(encoder, label_prompts(task))
    examples = encode_examples(encoder, task.labels, task.examples)
    if examples is not None and examples.covered.sum() == 1:
        prompts = prompts.towards(examples.means(), LONE_EXAMPLES_SHARE)
    multi = task.mode == "multi"
    sharpness = MULTI_SHARPNESS if multi else SHARPNESS
    weights: Floats = sharpness * prompts.spread * prompts.directions.T
    bias = np.zeros(len(task.labels))
    trust = 1.0
    if examples is not None and examples.covered.sum() > 1:
        covered = examples.covered
        level = weights[:, covered].mean(axis=1, keepdims=True)
        among = weights[:, covered] - level
        head = fit_example_head(examples.of_covered(), examples.vectors @ among, exclusive=not multi)
        weights[:, covered] = level + centred(head.prompt_share * among + head.weights)
        bias[covered] = centred(head.bias)
        trust = head.trust
    return ChoiceScorer(centred(weights), bias, trust, multi, numbers)


def fit_detector(encoder: Encoder, task: ClassificationTask, numbers: Calibration) -> DetectionScorer:
    """For one label."""
    absent = unit(encoder.encode(absence_prompts(task.source_type))[0].astype(np.float64).mean(axis=0))
    examples = encode_examples(encoder, task.labels, task.examples)
    label = label_directions(encoder, label_prompts(task)).vectors[0]
    share = 0.0
    if examples is not None:
        share = len(examples.vectors) / (len(examples.vectors) + DETECTION_PRIOR)
        label = (1 - share) * label + share * examples.means()[0]
    return DetectionScorer(unit(unit(label) - ABSENCE_SHARE * absent), share, numbers)
