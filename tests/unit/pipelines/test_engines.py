from __future__ import annotations

import pytest

from models.registry import engine_names
from pipelines.engines import (
    arithmetic_for,
    classifier_resources,
    fingerprint_for,
    least_range_bytes,
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


def test_ranges_of_fast_engines_are_larger_where_they_are_fast() -> None:
    settings = Settings(range_min_bytes=1_000, range_max_bytes=20_000)
    assert least_range_bytes(settings, "minilm") == least_range_bytes(settings, "no.such.module") == 1_000
    assert least_range_bytes(settings, "static") == 20_000
    assert least_range_bytes(settings, "embedding") == 1_000
    on_gpus = settings.model_copy(update={"classifier_gpus": 1})
    assert least_range_bytes(on_gpus, "embedding") == 16_000


def test_a_job_on_nodes_that_compute_otherwise_has_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    here = arithmetic_for(settings, "minilm")
    monkeypatch.setattr("models.engines.minilm.arithmetic", lambda: "another")
    there = arithmetic_for(settings, "minilm")
    assert fingerprint_for(settings, "minilm", here) != fingerprint_for(settings, "minilm", there)


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
