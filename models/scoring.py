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
from models.scoring_prompts import Floats, label_directions, unit
from models.task import ClassificationTask

SHARPNESS = 18.0
"""Log-odds a unit of prompt score times spread; decides against how strong an opinion examples are weighed."""
MULTI_SHARPNESS = 12.0
"""The same in ``multi``: lower, as labels do not exclude each other."""
ABSENCE_SHARE = 0.75
DETECTION_EXAMPLES_SHARE = 0.5
PARTIAL_EXAMPLES_SHARE = 0.1
"""Of a label's mean example in its vector where too many labels have none for a regression to compare."""
ENOUGH_COVERED = 0.8


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
    """How much closer a text is to the only label than to such texts in general."""

    direction: Floats
    calibration: Calibration

    def scores(self, vectors: npt.NDArray[np.floating]) -> Floats:
        scores: Floats = vectors @ self.direction[:, None]
        return scores

    def probabilities(self, vectors: Vectors) -> npt.NDArray[np.float64]:
        offset, slope = self.calibration.detection
        return sigmoid(offset + slope * self.scores(vectors))


def fit_chooser(encoder: Encoder, task: ClassificationTask, numbers: Calibration) -> ChoiceScorer:
    """For two labels or more."""
    prompts = label_directions(encoder, label_prompts(task))
    examples = encode_examples(encoder, task.labels, task.examples)
    compared = examples is not None and examples.covered.mean() >= ENOUGH_COVERED
    if examples is not None and not compared:
        prompts = prompts.towards(examples.means(), PARTIAL_EXAMPLES_SHARE)
    multi = task.mode == "multi"
    sharpness = MULTI_SHARPNESS if multi else SHARPNESS
    weights: Floats = sharpness * prompts.spread * prompts.directions.T
    bias = np.zeros(len(task.labels))
    trust = 1.0
    if examples is not None and compared:
        head = fit_example_head(examples, examples.vectors @ weights)
        weights = head.prompt_share * weights + head.weights
        bias = head.bias
        trust = head.trust
    centred = weights - weights.mean(axis=1, keepdims=True)
    return ChoiceScorer(centred, bias - bias.mean(), trust, multi, numbers)


def fit_detector(encoder: Encoder, task: ClassificationTask, numbers: Calibration) -> DetectionScorer:
    """For one label."""
    absent = unit(encoder.encode(absence_prompts(task.source_type))[0].astype(np.float64).mean(axis=0))
    examples = encode_examples(encoder, task.labels, task.examples)
    label = label_directions(encoder, label_prompts(task)).vectors[0]
    if examples is not None:
        label = (1 - DETECTION_EXAMPLES_SHARE) * label + DETECTION_EXAMPLES_SHARE * examples.means()[0]
    return DetectionScorer(unit(unit(label) - ABSENCE_SHARE * absent), numbers)
