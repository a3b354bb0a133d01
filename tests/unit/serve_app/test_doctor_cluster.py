"""What `labelworks doctor` says of the nodes that a cluster has for classifiers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import MagicMock

import pytest
from ray.exceptions import RayError, RayTaskError, WorkerCrashedError

from pipelines.settings import Settings
from serve_app.doctor import cluster
from serve_app.doctor.cluster import examine_room
from serve_app.doctor.finding import Finding
from serve_app.doctor.workers import examine_workers
from serve_app.exceptions import BucketTaken

HEAD = {"CPU": 0.0}
GPUS = Settings(models=("embedding", "minilm"), classifier_gpus=2, gpu_classifier_slots=4)


@pytest.mark.parametrize(
    ("settings", "nodes", "ok", "words"),
    [
        (Settings(), [HEAD], None, ["1 node,", "of minilm asks for 0.5 CPU", "more than 0"]),
        (GPUS, [HEAD, {"CPU": 8.0}], None, ["of embedding asks for 2 GPU", "more than 0"]),
        # Together they have enough, but no classifier is spread over nodes.
        (GPUS, [HEAD, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 1.0}], False, ["2 GPUs;", "more than 1"]),
    ],
)
def test_workers_too_small_for_a_classifier_are_a_problem_and_no_workers_are_none_as_they_may_yet_come(
    settings: Settings, nodes: list[dict[str, float]], ok: bool | None, words: list[str]
) -> None:
    finding = examine_room(settings, nodes)

    assert finding.ok is ok
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

    assert finding.ok is None
    assert "there is no node now" in finding.found
    assert "`ray status`" in finding.advice


@dataclass
class _FakeRay:
    """Ray as far as the engines are asked for: tasks by model, those that a node takes and those that end in time."""

    taken: Collection[str]
    ended: Collection[str]
    waits: list[tuple[set[str], float]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def remote(self, _: Any) -> MagicMock:
        task = MagicMock()
        task.options.return_value.remote.side_effect = lambda _settings, model, _where: _Examination(model)
        return task

    def wait(self, asked: list[Any], *, num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        assert num_returns == len(asked)
        ready = self.ended if self.waits else self.taken
        self.waits.append(({each.model for each in asked}, timeout))
        return [each for each in asked if each.model in ready], [each for each in asked if each.model not in ready]

    def cancel(self, examination: _Examination, *, force: bool) -> None:
        self.cancelled.append(examination.model)

    def get(self, answer: Any) -> Any:
        if isinstance(answer, RayError):
            raise answer
        return answer


@dataclass(eq=False)
class _Examination:
    model: str

    def completed(self) -> _Examination:
        return self

    def __iter__(self) -> Iterator[Any]:
        died = self.model == "static"
        return iter([None, WorkerCrashedError() if died else Finding(f"engine {self.model}", True, "classifies")])


def examined(monkeypatch: pytest.MonkeyPatch, fake: _FakeRay) -> list[Finding]:
    monkeypatch.setattr(cluster, "ray", fake)
    return list(cluster._engines_on_nodes(Settings(models=("minilm", "static", "blend")), 7.0))


def test_engines_that_no_node_takes_are_waited_for_together_said_to_be_untried_and_asked_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = _FakeRay(taken=(), ended=())
    findings = examined(monkeypatch, fake)

    assert fake.waits == [({"minilm", "static", "blend"}, 7.0)]
    assert fake.cancelled == ["minilm", "static", "blend"]
    assert [finding.ok for finding in findings] == [None] * 3
    assert all("within 7 s" in finding.found and "--wait" in finding.advice for finding in findings)


def test_an_engine_that_a_node_has_taken_is_a_problem_where_it_is_not_ready_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = _FakeRay(taken=("minilm", "blend"), ended=("blend",))
    late, untried, fine = examined(monkeypatch, fake)

    assert (late.ok, untried.ok, fine.ok) == (False, None, True)
    assert "on a node: not ready within" in late.found
    assert "logs" in late.advice
    assert fake.cancelled == ["static", "minilm"]


def test_an_engine_whose_process_dies_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    _, died, _ = examined(monkeypatch, _FakeRay(taken=Settings().models, ended=Settings().models))

    assert died.ok is False
    assert died.found.startswith("on a node: ")
