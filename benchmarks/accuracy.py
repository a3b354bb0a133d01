"""How right and how honest the answers are, on every evaluation set, for every installed engine.

    python -m benchmarks.accuracy --data FOLDER [--engines minilm,static] [--examples 8,4,2,1] [--seeds 3]
        [--out DIR] [--record] [--no-source-type]

Requests: labels only; with descriptions; with descriptions and examples, of all labels or of half of them; with
examples and no descriptions. Prints a table and the changes since the last recorded run; ``--record`` makes this run
the recorded one. ``--out`` gets the table, all figures as JSON and reliability diagrams, which need matplotlib (extra
``bench``). The last line printed is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.evaluation_sets import EvaluationSet, Truth, read_sets
from benchmarks.measures import (
    Reliability,
    average_precision,
    best_micro_f1,
    macro_f1,
    micro_f1,
    reliability,
)
from benchmarks.remembering_encoder import RememberingEncoder
from models.calibration import KINDS, Kind
from models.embedding_classifier import EmbeddingClassifier
from models.exceptions import ModelUnavailable
from models.protocol import Classifier, Engine
from models.registry import engine_names, load_engine
from models.task import ClassificationTask

Floats = npt.NDArray[np.float64]
RECORD = Path(__file__).with_name("accuracy_last.json")
THRESHOLD = 0.3
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Request:
    """What a task says of its labels; ``examples`` so many a label, for the kind of that name, and with
    ``described`` descriptions too. ``covered`` is the share of labels that have examples."""

    kind: Kind
    examples: int = 0
    described: bool = True
    covered: float = 1.0

    @property
    def name(self) -> str:
        if self.kind != "examples":
            return self.kind
        of = "" if self.covered == 1 else f" of {self.covered:.0%} of labels"
        return f"{self.examples} examples{of}" + ("" if self.described else " without descriptions")


@dataclass(frozen=True, slots=True)
class Measured:
    """One engine on one set for one request; ``confidence`` and ``right`` are of single answers, or of
    all pairs of a text and a label in ``multi``."""

    engine: str
    request: str
    name: str
    mode: str
    figures: Figures
    confidence: Floats
    right: Truth


class InstalledEngine:
    """Binds tasks; an engine of vectors encodes each text once for all of them."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self._engine = engine
        encoder = getattr(engine, "encoder", None)
        self._encoder = None if encoder is None else RememberingEncoder(encoder)

    def bind(self, task: ClassificationTask) -> Classifier:
        if self._encoder is None:
            return self._engine.bind(task)
        return EmbeddingClassifier(self._encoder, task, self.name)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of evaluation sets")
    parser.add_argument("--engines", help="comma-separated; default: all that are installed")
    parser.add_argument("--examples", default="8,4,2,1", help="examples a label (default 8,4,2,1)")
    parser.add_argument("--seeds", type=int, default=3, help="choices of examples, where a set has more")
    parser.add_argument("--out", type=Path, help="folder for table, figures and diagrams")
    parser.add_argument("--no-source-type", action="store_true", help="leave out what the texts are, to see its worth")
    parser.add_argument("--record", action="store_true", help="compare later runs with this one")
    options = parser.parse_args(arguments)
    if options.out is not None and find_spec("matplotlib") is None:
        parser.error("--out: the diagrams need matplotlib, which is not installed: pip install 'labelworks[bench]'")
    sets = read_sets(options.data)
    if options.no_source_type:
        if options.record:
            parser.error("--record is for requests with source types, --no-source-type leaves them out")
        sets = [replace(each, source_type=None) for each in sets]
    counts = [int(count) for count in options.examples.split(",")]
    requests = [Request(kind) for kind in KINDS if kind != "examples"]
    requests += [Request("examples", count) for count in counts]
    requests += [Request("examples", count, described=False) for count in counts]
    requests.append(Request("examples", counts[0], covered=0.5))
    results: list[Measured] = []
    for engine in installed(options.engines.split(",") if options.engines else None):
        results += [measure(engine, data, request, options.seeds) for request in requests for data in sets]
    means = mean_figures(results)
    by_engine = [[one for one in results if one.engine == name] for name in dict.fromkeys(r.engine for r in results)]
    table = "\n\n".join(render(ours, mean_figures(ours)) for ours in by_engine)
    print(table)
    print(compare(means, json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}))
    if options.out is not None:
        write(options.out, table, results, means)
    if options.record:
        RECORD.write_text(json.dumps(means, indent=1, sort_keys=True) + "\n", "utf-8")
    print(json.dumps(means))


def installed(names: Sequence[str] | None) -> list[InstalledEngine]:
    """The named engines, or all whose packages and weights are there."""
    engines = []
    for name in names or engine_names():
        try:
            engines.append(InstalledEngine(name, load_engine(name)))
        except ModelUnavailable as missing:
            if names:
                raise
            print(f"{name} is left out: {missing}")
    return engines


def measure(engine: InstalledEngine, data: EvaluationSet, request: Request, seeds: int) -> Measured:
    """Mean figures over the seeds, which matter only where they choose among more examples than are sent."""
    spare = request.covered < 1 or any(len(texts) > request.examples for texts in data.examples.values())
    drawn = request.kind == "examples" and spare
    runs = [_measure_once(engine, data, request, seed) for seed in range(seeds if drawn else 1)]
    figures = {name: float(np.mean([run.figures[name] for run in runs])) for name in runs[0].figures}
    confidence = np.concatenate([run.confidence for run in runs])
    right = np.concatenate([run.right for run in runs])
    return Measured(engine.name, request.name, data.name, data.mode, figures, confidence, right)


def _measure_once(engine: InstalledEngine, data: EvaluationSet, request: Request, seed: int) -> Measured:
    task = data.task(request.kind, request.examples, seed, request.described, request.covered)
    predictions = engine.bind(task).classify(data.texts)
    places = {label: place for place, label in enumerate(data.labels)}
    answers = np.zeros(data.truth.shape)
    for row, prediction in enumerate(predictions):
        for label in prediction.labels:
            answers[row, places[label.label]] = label.confidence
    if data.mode == "multi":
        confidence, right = answers.ravel(), data.truth.ravel()
        figures = {
            "micro_f1": micro_f1(data.truth, answers >= THRESHOLD),
            "best_micro_f1": best_micro_f1(data.truth, answers),
            "average_precision": average_precision(data.truth, answers),
        }
    else:
        best = answers.argmax(axis=1)
        texts = np.arange(len(best))
        confidence, right = answers[texts, best], data.truth[texts, best]
        chosen = np.zeros(data.truth.shape, bool)
        chosen[texts, best] = True
        figures = {"accuracy": float(right.mean()), "macro_f1": macro_f1(data.truth, chosen)}
    figures["ece"] = reliability(confidence, right).error
    return Measured(engine.name, request.name, data.name, data.mode, figures, confidence, right)


def mean_figures(results: Sequence[Measured]) -> dict[str, Figures]:
    """By ``engine request``: means over the sets; ``ece`` over all sets, the others over the sets that have them."""
    means: dict[str, Figures] = {}
    for key in dict.fromkeys((result.engine, result.request) for result in results):
        ours = [result.figures for result in results if (result.engine, result.request) == key]
        names = dict.fromkeys(name for figures in ours for name in figures)
        means[" ".join(key)] = {
            name: round(float(np.mean([figures[name] for figures in ours if name in figures])), 4) for name in names
        }
    return means


def render(results: Sequence[Measured], means: dict[str, Figures]) -> str:
    """A markdown table: macro-F1 (micro-F1 at 0.3 for multi) and calibration error of each set, then means."""
    lines = ["| set | " + " | ".join(means) + " |", "|---" * (len(means) + 1) + "|"]
    for name in dict.fromkeys(result.name for result in results):
        cells = []
        for result in results:
            if result.name == name:
                f1 = result.figures["macro_f1" if result.mode == "single" else "micro_f1"]
                cells.append(f"{f1:.3f} (ece {result.figures['ece']:.3f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for figure in dict.fromkeys(name for figures in means.values() for name in figures):
        row = " | ".join(f"{figures[figure]:.3f}" if figure in figures else "" for figures in means.values())
        lines.append(f"| mean {figure.replace('_', ' ')} | {row} |")
    return "\n".join(lines)


def compare(means: dict[str, Figures], before: dict[str, Figures]) -> str:
    """What changed since the recorded run by 0.0005 or more."""
    changes = [
        f"{key} {name}: {before[key][name]:.4f} -> {value:.4f}"
        for key, figures in means.items()
        for name, value in figures.items()
        if name in before.get(key, {}) and abs(value - before[key][name]) >= 0.0005
    ]
    return (
        "\n".join(["Since the recorded run:", *changes]) if changes else "As in the recorded run, or none to compare."
    )


def write(folder: Path, table: str, results: Sequence[Measured], means: dict[str, Figures]) -> None:
    """accuracy.md, accuracy.json and one reliability diagram for each engine and request."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "accuracy.md").write_text(table + "\n", "utf-8")
    sets = [{"engine": r.engine, "request": r.request, "set": r.name, **r.figures} for r in results]
    (folder / "accuracy.json").write_text(json.dumps({"means": means, "sets": sets}, indent=1), "utf-8")
    for engine, request in dict.fromkeys((result.engine, result.request) for result in results):
        curves = {
            result.name: reliability(result.confidence, result.right)
            for result in results
            if (result.engine, result.request) == (engine, request)
        }
        draw(curves, f"{engine}, {request}", folder / f"reliability_{engine}_{request.replace(' ', '_')}.png")


def draw(curves: dict[str, Reliability], title: str, path: Path) -> None:
    """Confidence against share of right answers, one curve a set."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, curve in curves.items():
        axes.plot(curve.confidence, curve.right, marker="o", markersize=3, label=f"{name} ({curve.error:.3f})")
    axes.set(title=title, xlabel="confidence", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
