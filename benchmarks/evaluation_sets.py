"""Labelled texts to measure answers on: a folder of sets, each a folder of four files.

``labels.json`` (``mode``, ``source_type``, ``labels`` with ``name`` and ``description``), ``examples.json``
(texts a label, none of them in the test) and ``test.ndjson`` (``text`` with ``label`` or ``labels``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.calibration import Kind
from models.task import ClassificationTask, Mode

Truth = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """``truth`` has the shape (texts, labels), one True a row in ``single``."""

    name: str
    mode: Mode
    source_type: str | None
    labels: tuple[str, ...]
    descriptions: Mapping[str, str]
    examples: Mapping[str, tuple[str, ...]]
    texts: tuple[str, ...]
    truth: Truth

    def task(
        self, kind: Kind, examples_a_label: int = 0, seed: int = 0, described: bool = True, covered: float = 1.0
    ) -> ClassificationTask:
        """What a client would send; threshold 0, so that a ``multi`` answer tells every label's confidence.

        Seeds choose which examples are sent, if there are more, and of which labels if only a share is ``covered``.
        """
        return ClassificationTask(
            labels=self.labels,
            descriptions=self.descriptions if described and kind != "labels" else {},
            examples=self._chosen(examples_a_label, seed, covered) if kind == "examples" else {},
            source_type=self.source_type,
            mode=self.mode,
            threshold=0.0,
        )

    def _chosen(self, count: int, seed: int, covered: float) -> dict[str, tuple[str, ...]]:
        random = np.random.default_rng(seed)
        chosen = {}
        for label, texts in self.examples.items():
            places = sorted(random.permutation(len(texts))[:count])
            chosen[label] = tuple(texts[place] for place in places)
        kept = random.permutation(list(chosen))[: round(covered * len(chosen))]
        return {label: texts for label, texts in chosen.items() if label in kept}


def read_sets(folder: Path) -> list[EvaluationSet]:
    """Every set in the folder, by name. Raises FileNotFoundError if there is none."""
    sets = [_read(path.parent) for path in sorted(folder.glob("*/labels.json"))]
    if not sets:
        raise FileNotFoundError(f"no folder in {folder} has a labels.json")
    return sets


def _read(folder: Path) -> EvaluationSet:
    about = json.loads((folder / "labels.json").read_text("utf-8"))
    labels = tuple(label["name"] for label in about["labels"])
    places = {label: place for place, label in enumerate(labels)}
    rows = [json.loads(line) for line in (folder / "test.ndjson").read_text("utf-8").splitlines()]
    truth = np.zeros((len(rows), len(labels)), bool)
    for number, row in enumerate(rows):
        for label in row["labels"] if about["mode"] == "multi" else [row["label"]]:
            truth[number, places[label]] = True
    examples = json.loads((folder / "examples.json").read_text("utf-8"))
    return EvaluationSet(
        name=folder.name,
        mode=about["mode"],
        source_type=about["source_type"],
        labels=labels,
        descriptions={label["name"]: label["description"] for label in about["labels"] if label.get("description")},
        examples={label: tuple(texts) for label, texts in examples.items()},
        texts=tuple(row["text"] for row in rows),
        truth=truth,
    )
