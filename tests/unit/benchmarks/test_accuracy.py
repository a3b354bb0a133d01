from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.accuracy import InstalledEngine, Request, compare, main, mean_figures, measure, render
from benchmarks.evaluation_sets import read_sets
from benchmarks.fit_calibration import fit_engine
from models.embedding_classifier import EmbeddingClassifier
from models.protocol import EngineInfo
from models.task import ClassificationTask
from tests.unit.models.word_encoder import WordEncoder

LABELS = ("sport", "money", "weather")


class WordEngine:
    info = EngineInfo("words", "cpu")
    encoder = WordEncoder()

    def bind(self, task: ClassificationTask) -> EmbeddingClassifier:
        return EmbeddingClassifier(self.encoder, task, "words")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, mode in (("choices", "single"), ("others", "single"), ("tags", "multi"), ("marks", "multi")):
        texts = [(f"{label} {i}", label) for label in LABELS for i in range(6)]
        rows = [
            {"text": text, "label": label} if mode == "single" else {"text": text, "labels": [label]}
            for text, label in texts
        ]
        path = tmp_path / name
        path.mkdir()
        labels = [{"name": label, "description": f"all of {label}"} for label in LABELS]
        about = {"mode": mode, "source_type": "line", "labels": labels}
        (path / "labels.json").write_text(json.dumps(about))
        (path / "examples.json").write_text(
            json.dumps({label: [f"{label} example {i}" for i in range(6)] for label in LABELS})
        )
        (path / "test.ndjson").write_text("\n".join(json.dumps(row) for row in rows))
    return tmp_path


def test_an_engine_that_is_always_right_measures_so(folder: Path) -> None:
    engine = InstalledEngine("words", WordEngine())
    results = [measure(engine, data, Request("descriptions"), 2) for data in read_sets(folder)]
    by_set = {result.name: result.figures for result in results}
    assert by_set["choices"]["macro_f1"] == by_set["choices"]["accuracy"] == 1
    assert by_set["tags"]["average_precision"] == 1
    means = mean_figures(results)
    assert means["words descriptions"]["macro_f1"] == 1
    assert "| choices | 1.000 (ece " in render(results, means)


def test_seeds_choose_other_examples(folder: Path) -> None:
    data = read_sets(folder)[0]
    tasks = [data.task("examples", 2, seed) for seed in range(4)]
    assert all(len(task.examples[label]) == 2 for task in tasks for label in LABELS)
    assert len({task.examples[LABELS[0]] for task in tasks}) > 1
    assert data.task("examples", 2, 1) == data.task("examples", 2, 1)


def test_seeds_count_only_where_there_are_more_examples_than_are_sent(folder: Path) -> None:
    engine = InstalledEngine("words", WordEngine())
    data = read_sets(folder)[0]
    few, all_there_are = (measure(engine, data, Request("examples", count), 3) for count in (2, 6))
    assert (few.request, all_there_are.request) == ("2 examples", "6 examples")
    assert (len(few.right), len(all_there_are.right)) == (3 * len(data.texts), len(data.texts))


def test_requests_leave_out_descriptions_or_the_examples_of_some_labels(folder: Path) -> None:
    data = read_sets(folder)[0]
    bare, half = (
        Request("examples", 2, described=False),
        Request("examples", 2, covered=0.5),
    )
    assert (bare.name, half.name) == ("2 examples without descriptions", "2 examples of 50% of labels")
    task = data.task("examples", 2, 0, described=False)
    assert not task.descriptions
    assert set(task.examples) == set(LABELS)
    kept = {label for seed in range(9) for label in data.task("examples", 2, seed, covered=0.5).examples}
    assert len(data.task("examples", 2, 0, covered=0.5).examples) == 2
    assert kept == set(LABELS)


def test_a_change_since_the_recorded_run_is_told() -> None:
    told = compare({"words labels": {"macro_f1": 0.5}}, {"words labels": {"macro_f1": 0.4}})
    assert "words labels macro_f1: 0.4000 -> 0.5000" in told


def test_a_run_that_could_not_draw_its_diagrams_ends_before_it_measures_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit) as ended:
        main(["--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "pip install 'labelworks[bench]'" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        main(["--data", str(tmp_path)])


def test_calibration_is_fitted_for_every_kind_of_request(folder: Path) -> None:
    entry, errors = fit_engine(WordEncoder(), read_sets(folder))
    for numbers in entry.values():
        assert set(numbers) == {"labels", "descriptions", "examples"}
    assert all(scale > 0 for scale in entry["single"].values())
    assert all(0 <= error <= 1 for error in errors.values())


def test_a_folder_without_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_sets(tmp_path)
