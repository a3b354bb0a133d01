"""Fits the numbers of models/calibration.json on evaluation sets and shows what they give on sets left out.

    python -m benchmarks.fit_calibration --data FOLDER [--engines minilm,static,blend] [--dry-run]

Every set weighs the same. The errors printed are of sets whose numbers were fitted on all the other sets.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks.evaluation_sets import EvaluationSet, Truth, read_sets
from benchmarks.measures import best_micro_f1, micro_f1, reliability
from benchmarks.remembering_encoder import RememberingEncoder
from models.calibration import (
    KINDS,
    Calibration,
    Kind,
    lead,
    multi_probabilities,
    sigmoid,
    single_probabilities,
)
from models.protocol import Encoder
from models.registry import engine_names, load_engine
from models.scoring import MULTI_SHARPNESS, ChoiceScorer, DetectionScorer, fit_chooser, fit_detector
from models.task import ClassificationTask

Floats = npt.NDArray[np.float64]
Fitted = TypeVar("Fitted")
UNFITTED = Calibration(1.0, (0.0, 1.0, 1.0), (0.0, 1.0, 0.0))
EXAMPLE_COUNTS = (8, 4)
"""Examples a label in the tasks of kind ``examples``: the numbers must serve few and many."""
DETECTION_EXAMPLE_COUNTS = (8, 4, 2, 1)
SCALES = np.round(np.geomspace(0.3, 3.0, 60), 3)
THRESHOLD = 0.3
"""What a client gets that names none."""
OFFSET_MOVES = np.arange(-20, 21) / 10
MULTI_SHARE = 0.8
"""Of real ``multi`` sets in the choice of the offset; one of them is left out at a time and few are left."""
DETECTED_LABELS = 12
"""At most so many labels of a set are detected one by one."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A set's scores for one kind of request; ``scores`` and ``truth`` of shape (texts, labels), for a label that
    stands alone ``scores`` of shape (texts, features)."""

    name: str
    scores: Floats
    truth: Truth


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of evaluation sets")
    parser.add_argument("--engines", default="minilm,static,blend", help="comma-separated")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    sets = read_sets(options.data)
    path = Path(__file__).parents[1] / "models" / "calibration.json"
    fitted: dict[str, Any] = json.loads(path.read_text("utf-8"))
    errors = {}
    for name in options.engines.split(","):
        if name not in engine_names():
            parser.error(f"no engine is called {name!r}; there are {', '.join(engine_names())}")
        encoder = RememberingEncoder(load_engine(name).encoder)  # type: ignore[attr-defined]
        fitted[name], errors[name] = fit_engine(encoder, sets)
    if not options.dry_run:
        path.write_text(dump(fitted), "utf-8")
    print(json.dumps(errors))


def fit_engine(encoder: Encoder, sets: Sequence[EvaluationSet]) -> tuple[dict[str, Any], dict[str, float]]:
    """An entry of calibration.json, and mean errors on left-out sets."""
    entry: dict[str, dict[str, Any]] = {"single": {}, "multi": {}, "detection": {}}
    errors: dict[str, float] = {}
    measured = {s.name for s in sets if s.mode == "multi"} or {s.name for s in sets}
    fit = partial(fit_multi, measured=measured)
    for kind in KINDS:
        single = [scored for s in sets if s.mode == "single" for scored in choices(encoder, s, kind)]
        entry["single"][kind], gaps = left_out(single, fit_scale, single_error)
        errors[f"single {kind}"] = mean_and_print(f"single {kind}: calibration error", gaps)
        multi = [scored for s in sets for scored in choices(encoder, _as_multi(s), kind)]
        entry["multi"][kind], gaps = left_out(multi, fit, multi_error, measured)
        errors[f"multi {kind}"] = mean_and_print(f"multi {kind}: calibration error", gaps)
        _, losses = left_out(multi, fit, threshold_loss, measured)
        errors[f"threshold {kind}"] = mean_and_print(f"multi {kind}: micro-F1 lost by threshold 0.3", losses)
        detected = [scored for s in sets for scored in detections(encoder, s, kind)]
        entry["detection"][kind], gaps = left_out(detected, fit_detection, detection_error)
        errors[f"detection {kind}"] = mean_and_print(f"detection {kind}: calibration error", gaps)
    return entry, errors


def choices(encoder: Encoder, data: EvaluationSet, kind: Kind) -> list[Scored]:
    """Uncalibrated log-odds, once for each count of examples."""
    answers = []
    for count in EXAMPLE_COUNTS if kind == "examples" else (0,):
        scorer: ChoiceScorer = fit_chooser(encoder, data.task(kind, count), UNFITTED)
        logits = scorer.logits(encoder.encode(data.texts)[0])
        scores = logits / MULTI_SHARPNESS if scorer.multi else scorer.trust * logits
        answers.append(Scored(data.name, scores, data.truth))
    return answers


def detections(encoder: Encoder, data: EvaluationSet, kind: Kind) -> list[Scored]:
    """Scores of labels that stand alone, once for each count of examples."""
    answers = []
    vectors = encoder.encode(data.texts)[0]
    for count in DETECTION_EXAMPLE_COUNTS if kind == "examples" else (0,):
        task = data.task(kind, count)
        for place, label in enumerate(data.labels[:DETECTED_LABELS]):
            alone: ClassificationTask = replace(task, labels=(label,))
            scorer: DetectionScorer = fit_detector(encoder, alone, UNFITTED)
            truth = data.truth[:, [place]]
            if truth.any() and not truth.all():
                answers.append(Scored(data.name, scorer.features(vectors), truth))
    return answers


def left_out(
    rows: Sequence[Scored],
    fit: Callable[[Sequence[Scored]], Fitted],
    error: Callable[[Fitted, Scored], float],
    measured: set[str] | None = None,
) -> tuple[Fitted, dict[str, float]]:
    """Fitted on everything, and each set's mean error with numbers fitted on the other sets."""
    gaps = {}
    for name in dict.fromkeys(row.name for row in rows if measured is None or row.name in measured):
        numbers = fit([row for row in rows if row.name != name])
        gaps[name] = float(np.mean([error(numbers, row) for row in rows if row.name == name]))
    return fit(rows), gaps


def fit_scale(rows: Sequence[Scored]) -> float:
    """The factor whose confidences have the least squared error against being right, sets weighed alike."""

    def loss(scale: float, row: Scored) -> float:
        confidence, right = _answers(scale, row)
        return float(((confidence - right) ** 2).mean())

    return float(min(SCALES, key=lambda scale: sum(loss(float(scale), row) for row in rows)))


def single_error(scale: float, row: Scored) -> float:
    return reliability(*_answers(scale, row)).error


def fit_multi(rows: Sequence[Scored], measured: set[str]) -> list[float]:
    """Logistic regression on a label's score and its lead, its offset then moved to where threshold 0.3 gives
    the best micro-F1: below a threshold nobody sees a confidence. ``single`` sets count as ``multi`` sets whose
    texts have one label."""
    inside = sum(row.name in measured for row in rows)
    even = [0.5 / inside if row.name in measured else 0.5 / (len(rows) - inside) for row in rows]
    offset, *slopes = _fit_slopes(rows, even)
    ours = [
        MULTI_SHARE * 2 * w if row.name in measured else (1 - MULTI_SHARE) * 2 * w
        for w, row in zip(even, rows, strict=True)
    ]

    def value(moved: float) -> float:
        numbers = [offset + moved, *slopes]
        return sum(w * micro_f1(row.truth, _each(numbers, row) >= THRESHOLD) for w, row in zip(ours, rows, strict=True))

    return [round(offset + float(max(OFFSET_MOVES, key=value)), 2), *slopes]


def _fit_slopes(rows: Sequence[Scored], shares: Sequence[float]) -> list[float]:
    features, truth, weights = [], [], []
    for row, share in zip(rows, shares, strict=True):
        features.append(np.stack([row.scores.ravel(), lead(row.scores, MULTI_SHARPNESS).ravel()], axis=1))
        truth.append(row.truth.ravel())
        weights.append(np.full(row.truth.size, share / len(row.truth)))
    return logistic_regression(np.concatenate(features), np.concatenate(truth), np.concatenate(weights))


def multi_error(numbers: list[float], row: Scored) -> float:
    return reliability(_each(numbers, row).ravel(), row.truth.ravel()).error


def threshold_loss(numbers: list[float], row: Scored) -> float:
    confidence = _each(numbers, row)
    return best_micro_f1(row.truth, confidence) - micro_f1(row.truth, confidence >= THRESHOLD)


def fit_detection(rows: Sequence[Scored]) -> list[float]:
    """Logistic regression as if the label applied to every second text, since how often it does is unknown."""
    names = [row.name for row in rows]
    weights = [_balanced(row.truth) / names.count(row.name) for row in rows]
    return logistic_regression(
        np.concatenate([row.scores for row in rows]),
        np.concatenate([row.truth.ravel() for row in rows]),
        np.concatenate(weights),
    )


def detection_error(numbers: list[float], row: Scored) -> float:
    """Calibration error of texts drawn half from those with the label, by repeating the rarer ones."""
    confidence = sigmoid(numbers[0] + row.scores @ np.array(numbers[1:]))
    drawn = np.random.default_rng(0).choice(len(confidence), 2000, p=_balanced(row.truth))
    return reliability(confidence[drawn], row.truth[drawn, 0]).error


def logistic_regression(features: Floats, truth: Truth, weights: Floats) -> list[float]:
    """Offset and slopes by Newton's method, rounded to three digits."""
    rows = np.column_stack([np.ones(len(features)), features])
    numbers = np.zeros(rows.shape[1])
    for _ in range(50):
        shares = sigmoid(rows @ numbers)
        gradient = rows.T @ (weights * (shares - truth))
        curvature = rows.T @ ((weights * shares * (1 - shares))[:, None] * rows)
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(numbers)), gradient)
        numbers = numbers - step
        if np.abs(step).max() < 1e-6:
            break
    return [float(f"{number:.3g}") for number in numbers]


def mean_and_print(title: str, gaps: dict[str, float]) -> float:
    mean = float(np.mean(list(gaps.values())))
    print(f"{title} on left-out sets: mean {mean:.3f} |", ", ".join(f"{k} {v:.3f}" for k, v in gaps.items()))
    return round(mean, 4)


def dump(fitted: dict[str, Any]) -> str:
    """JSON with one line a group, to be read and compared by eye."""
    engines = []
    for name, groups in sorted(fitted.items()):
        lines = ",\n".join(f"    {json.dumps(group)}: {json.dumps(numbers)}" for group, numbers in groups.items())
        engines.append(f"  {json.dumps(name)}: {{\n{lines}\n  }}")
    return "{\n" + ",\n".join(engines) + "\n}\n"


def _as_multi(data: EvaluationSet) -> EvaluationSet:
    return replace(data, mode="multi")


def _answers(scale: float, row: Scored) -> tuple[Floats, Truth]:
    probabilities = single_probabilities(scale * row.scores)
    best = probabilities.argmax(axis=1)
    texts = np.arange(len(best))
    return probabilities[texts, best], row.truth[texts, best]


def _each(numbers: list[float], row: Scored) -> Floats:
    a, b, c = numbers
    return multi_probabilities(row.scores, MULTI_SHARPNESS, (a, b, c))


def _balanced(truth: Truth) -> Floats:
    """One weight a text, adding up to 1, half of it on texts with the label."""
    right = truth.ravel()
    weights: Floats = np.where(right, 0.5 / right.sum(), 0.5 / (~right).sum())
    return weights


if __name__ == "__main__":
    main()
