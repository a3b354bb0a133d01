"""From scores to probabilities: a few numbers an engine, made by ``python -m benchmarks.fit_calibration``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from models.task import ClassificationTask

Floats = npt.NDArray[np.float64]
Kind = Literal["labels", "descriptions", "examples"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LIKE = "minilm"
"""Engines without an entry of their own are taken to be like this one."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one engine's scores mean for one kind of request.

    ``single``: what a scorer's log-odds are multiplied by.
    ``multi``: a, b, c of a label's log-odds a + b * s + c * (s - soft maximum of s over the labels).
    ``detection``: a, b, c of the only label's log-odds a + b * s + c * (share of examples in its vector).
    """

    single: float
    multi: tuple[float, float, float]
    detection: tuple[float, float, float]


def request_kind(task: ClassificationTask) -> Kind:
    """``examples`` if any label has one, else ``descriptions`` if at least half of the labels have one."""
    if any(task.examples.get(label) for label in task.labels):
        return "examples"
    described = sum(bool(task.descriptions.get(label, "").strip()) for label in task.labels)
    return "descriptions" if 2 * described >= len(task.labels) else "labels"


def calibration(engine: str, kind: Kind) -> Calibration:
    """The fitted numbers of an engine; those of ``LIKE`` for an engine that was never fitted."""
    fitted = _fitted()
    entry = fitted.get(engine, fitted[LIKE])
    return Calibration(entry["single"][kind], tuple(entry["multi"][kind]), tuple(entry["detection"][kind]))


def label_probabilities(task: ClassificationTask, logits: Floats) -> Floats:
    """Of log-odds (texts, labels) that need no calibration: rows sum to 1 where one of several labels is asked for."""
    return single_probabilities(logits) if task.is_choice else sigmoid(logits)


def single_probabilities(logits: Floats) -> Floats:
    """Softmax over the labels; rows sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def multi_probabilities(scores: Floats, sharpness: float, numbers: tuple[float, float, float]) -> Floats:
    """Each label for itself, yet less likely beside one that fits better: s is a cosine difference, its soft
    maximum logsumexp(sharpness * s) / sharpness."""
    a, b, c = numbers
    return sigmoid(a + b * scores + c * lead(scores, sharpness))


def lead(scores: Floats, sharpness: float) -> Floats:
    """How far each score is above the soft maximum of its row: never over 0."""
    top = scores.max(axis=1, keepdims=True)
    soft = top + np.log(np.exp(sharpness * (scores - top)).sum(axis=1, keepdims=True)) / sharpness
    ahead: Floats = scores - soft
    return ahead


def sigmoid(logits: Floats) -> Floats:
    odds: Floats = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    return odds


@cache
def _fitted() -> dict[str, dict[str, dict[str, Any]]]:
    text = files("models").joinpath("calibration.json").read_text("utf-8")
    fitted: dict[str, dict[str, dict[str, Any]]] = json.loads(text)
    return fitted
