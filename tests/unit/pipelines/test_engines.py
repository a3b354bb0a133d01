from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from models.registry import engine_names
from pipelines import ndjson, range_classifier, range_sizes, ranges, results
from pipelines.engines import (
    arithmetic_for,
    classifier_resources,
    code_of_lines,
    fingerprint_for,
    threads_of_classifier,
)
from pipelines.settings import Settings


@pytest.mark.parametrize("model", engine_names())
def test_without_gpus_every_engine_asks_for_cpus(model: str) -> None:
    assert classifier_resources(Settings(classifier_cpus=0.5), model) == {"num_cpus": 0.5}


def test_only_engines_that_use_gpus_ask_for_whole_ones() -> None:
    settings = Settings(classifier_cpus=0.5, classifier_gpus=2)
    asked = {model: classifier_resources(settings, model) for model in engine_names()}
    assert {model for model, found in asked.items() if found == {"num_gpus": 2}} == {
        "embedding",
        "nli",
        "gliclass",
        "llm",
    }
    assert all(found == {"num_cpus": 0.5} for found in asked.values() if "num_gpus" not in found)


def test_an_engine_of_the_operators_says_whether_it_uses_gpus() -> None:
    settings = Settings(classifier_gpus=1)
    assert "num_gpus" in classifier_resources(settings, "models.engines.llm")
    assert "num_cpus" in classifier_resources(settings, "models.engines.minilm")
    assert "num_cpus" in classifier_resources(settings, "no.such.module")


def test_a_job_on_nodes_that_compute_otherwise_has_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    here = arithmetic_for(settings, "minilm")
    monkeypatch.setattr("models.engines.minilm.arithmetic", lambda: "another")
    there = arithmetic_for(settings, "minilm")
    assert fingerprint_for(settings, "minilm", here) != fingerprint_for(settings, "minilm", there)


@pytest.mark.parametrize(
    ("module", "decides"),
    [(ranges, True), (ndjson, True), (range_classifier, True), (results, True), (range_sizes, False)],
)
def test_the_code_that_decides_result_lines_is_in_the_fingerprint_and_that_which_sizes_ranges_is_not(
    module: ModuleType, decides: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code_of_lines.cache_clear()
    before = fingerprint_for(Settings(), "static", "")
    edited = tmp_path / "edited.py"
    edited.write_bytes(Path(module.__file__ or "").read_bytes() + b"\n")
    monkeypatch.setattr(module, "__file__", str(edited))
    assert fingerprint_for(Settings(), "static", "") == before
    code_of_lines.cache_clear()
    assert (fingerprint_for(Settings(), "static", "") != before) == decides
    code_of_lines.cache_clear()


def test_the_cpu_of_a_node_with_a_gpu_does_not_matter_to_engines_that_use_it() -> None:
    assert arithmetic_for(Settings(classifier_gpus=1), "embedding") == "on a GPU"
    assert arithmetic_for(Settings(classifier_gpus=1), "minilm") == arithmetic_for(Settings(), "minilm") != "on a GPU"


@pytest.mark.parametrize(
    ("processors", "node", "classifiers", "threads"),
    [
        (2, {"CPU": 2}, 1, 2),
        (2, {"CPU": 2}, 2, 1),
        (2, {"CPU": 2}, 4, 1),
        (8, {"CPU": 8}, 1, 8),
        (8, {"CPU": 8}, 3, 3),
        (8, {"CPU": 8}, 500, 1),
        (8, {"CPU": 2}, 500, 2),
        (8, {}, 500, 8),
    ],
)
def test_the_classifiers_of_a_job_share_the_processors_of_a_node(
    processors: int, node: dict[str, float], classifiers: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.engines.usable_processors", lambda: processors)
    assert threads_of_classifier(Settings(classifier_cpus=0.5), "minilm", classifiers, node) == threads


def test_classifiers_on_gpus_share_the_processors_beside_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.engines.usable_processors", lambda: 16)
    settings = Settings(classifier_gpus=1)
    assert threads_of_classifier(settings, "embedding", 8, {"CPU": 16, "GPU": 4}) == 4
    assert threads_of_classifier(settings, "minilm", 8, {"CPU": 16, "GPU": 4}) == 2


def test_a_classifier_has_as_many_threads_as_the_operator_says() -> None:
    assert threads_of_classifier(Settings(classifier_threads=3), "minilm", 50, {"CPU": 2}) == 3
