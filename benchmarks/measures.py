"""How right answers are, and how far their confidence is from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.evaluation_sets import Truth

Floats = npt.NDArray[np.float64]
BINS = 15
THRESHOLDS = np.round(np.arange(0.02, 0.99, 0.02), 2)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins of equal width by confidence; empty bins are left out. Shares are of all answers."""

    confidence: tuple[float, ...]
    right: tuple[float, ...]
    share: tuple[float, ...]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean over answers of the distance between confidence and accuracy
        of their bin (Guo et al., On calibration of modern neural networks, 2017)."""
        return sum(
            share * abs(right - confidence)
            for confidence, right, share in zip(self.confidence, self.right, self.share, strict=True)
        )


def reliability(confidence: Floats, right: Truth) -> Reliability:
    """Of answers given with a confidence, flat arrays of one length."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    members = [bins == number for number in range(BINS) if (bins == number).any()]
    return Reliability(
        tuple(float(confidence[m].mean()) for m in members),
        tuple(float(right[m].mean()) for m in members),
        tuple(float(m.mean()) for m in members),
    )


def macro_f1(truth: Truth, chosen: Truth) -> float:
    """Mean over the labels that occur; a label that is never right counts 0."""
    occurs = truth.any(axis=0)
    return float(_f1(truth[:, occurs], chosen[:, occurs], axis=0).mean())


def micro_f1(truth: Truth, chosen: Truth) -> float:
    """Over all pairs of a text and a label."""
    return float(_f1(truth.ravel(), chosen.ravel(), axis=0))


def best_micro_f1(truth: Truth, confidence: Floats) -> float:
    """With the threshold that would have been best for this set."""
    return max(micro_f1(truth, confidence >= threshold) for threshold in THRESHOLDS)


def average_precision(truth: Truth, confidence: Floats) -> float:
    """Mean over the labels that occur of the area under the precision-recall steps; ties share a step."""
    return float(np.mean([_one_average(truth[:, k], confidence[:, k]) for k in np.flatnonzero(truth.any(axis=0))]))


def _one_average(truth: Truth, confidence: Floats) -> float:
    order = np.argsort(-confidence, kind="stable")
    found = np.cumsum(truth[order])
    ends = np.append(np.flatnonzero(np.diff(confidence[order])), len(order) - 1)
    precision = found[ends] / (ends + 1)
    return float((precision * np.diff(found[ends], prepend=0)).sum() / found[-1])


def _f1(truth: Truth, chosen: Truth, axis: int) -> Floats:
    both = (truth & chosen).sum(axis=axis)
    scores: Floats = 2 * both / np.maximum(truth.sum(axis=axis) + chosen.sum(axis=axis), 1)
    return scores
