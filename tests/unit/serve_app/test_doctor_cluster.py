"""What `labelworks doctor` says of the nodes that a cluster has for classifiers."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
from ray.exceptions import RayTaskError

from pipelines.settings import Settings
from serve_app.doctor import cluster
from serve_app.doctor.cluster import examine_room
from serve_app.doctor.workers import examine_workers
from serve_app.exceptions import BucketTaken

HEAD = {"CPU": 0.0}
GPUS = Settings(models=("embedding", "minilm"), classifier_gpus=2, gpu_classifier_slots=4)


@pytest.mark.parametrize(
    ("settings", "nodes", "words"),
    [
        (Settings(), [HEAD], ["1 node,", "of minilm asks for 0.5 CPU", "more than 0"]),
        (GPUS, [HEAD, {"CPU": 8.0}], ["of embedding asks for 2 GPU", "more than 0"]),
        # Together they have enough, but no classifier is spread over nodes.
        (GPUS, [HEAD, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 1.0}], ["2 GPUs;", "more than 1"]),
    ],
)
def test_nodes_without_room_for_one_classifier_are_a_problem_that_an_autoscaler_may_yet_solve(
    settings: Settings, nodes: list[dict[str, float]], words: list[str]
) -> None:
    finding = examine_room(settings, nodes)

    assert not finding.ok
    assert all(word in finding.found for word in words), finding.found
    assert "autoscaler" in finding.advice
    assert ("classifier_gpus" if settings is GPUS else "classifier_cpus") in finding.advice


def test_nodes_with_room_for_some_of_the_classifiers_are_none() -> None:
    finding = examine_room(GPUS, [HEAD, {"CPU": 8.0, "GPU": 2.0}])

    assert finding.ok
    assert "4 classifiers of 2 GPU need more" in finding.found


def test_nodes_with_room_for_all_are_said_to_have_it() -> None:
    finding = examine_room(Settings(), [{"CPU": 2.0}])

    assert finding.ok
    assert finding.found == "1 node, 2 CPUs, 0 GPUs: room for 3 classifiers of 0.5 CPU"


def test_a_registry_that_lost_the_bucket_is_said_to_have_lost_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RayTaskError("ping", "", BucketTaken())

    monkeypatch.setattr(cluster.ray, "get_actor", lambda *_, **__: MagicMock())
    monkeypatch.setattr(cluster.ray, "get", refuse)

    finding = cluster._registry()

    assert not finding.ok
    assert "another cluster" in finding.found
    assert "LABELWORKS_S3_BUCKET" in finding.advice


def test_a_storage_that_no_worker_is_there_to_try_is_said_to_be_untried() -> None:
    (finding,) = examine_workers(Settings(), [{"NodeManagerHostname": "head", "Resources": HEAD}])

    assert not finding.ok
    assert "there is no node now" in finding.found
    assert "`ray status`" in finding.advice
