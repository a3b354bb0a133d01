"""On which nodes processes are started ahead; that an actor gets one, tests/integration/test_spare_processes.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipelines.settings import Settings
from serve_app import spare_processes
from serve_app.spare_processes import SpareProcesses


def node(port: int, *, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"Alive": alive, "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": port, "Resources": resources}


NODES = [node(1, memory=5.0), node(2, CPU=4.0), node(3, CPU=4.0, alive=False), node(4, GPU=1.0), node(5, CPU=1.0)]


async def looked_at(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, broken: str | None = None, looks: int = 1
) -> list[str]:
    """The raylets that are asked; ``broken`` does not answer."""
    asked = []

    def fill(address: str, wanted: int) -> int:
        asked.append(address)
        assert wanted == settings.spare_processes
        if address == broken:
            raise RuntimeError("it does not answer")
        return 1

    monkeypatch.setattr(spare_processes, "_SOON_SECONDS", 0.0)
    monkeypatch.setattr(spare_processes.ray, "nodes", lambda: NODES)
    monkeypatch.setattr(spare_processes, "fill_node", fill)
    processes = SpareProcesses(settings)
    for _ in range(looks):
        processes.look_soon()
        processes.refill(jobs_run=False)
        if processes._filling:
            await processes._filling
    return asked


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(classifier_cpus=1), ["127.0.0.1:2", "127.0.0.1:5"]),
        (Settings(classifier_cpus=2), ["127.0.0.1:2"]),
        (Settings(classifier_cpus=2, classifier_gpus=1), ["127.0.0.1:2", "127.0.0.1:4"]),
        (Settings(spare_processes=0), []),
    ],
)
def test_processes_wait_on_the_living_nodes_that_can_hold_a_classifier(
    settings: Settings, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asyncio.run(looked_at(settings, monkeypatch)) == expected


def test_a_node_that_does_not_answer_keeps_no_other_from_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.run(looked_at(Settings(), monkeypatch, broken="127.0.0.1:2"))

    assert asked == ["127.0.0.1:2", "127.0.0.1:5"]


def test_a_node_that_was_asked_a_moment_ago_is_not_asked_again_before_its_processes_can_be_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = asyncio.run(looked_at(Settings(), monkeypatch, broken="127.0.0.1:2", looks=2))

    assert asked == ["127.0.0.1:2", "127.0.0.1:5", "127.0.0.1:2"]


@pytest.mark.parametrize("jobs_run", [True, False])
def test_a_job_that_has_just_begun_has_the_processors_whatever_ends_beside_it(
    jobs_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def looked() -> bool:
        processes = SpareProcesses(Settings(spare_delay_seconds=60))
        processes.job_began()
        processes.look_soon()
        processes.refill(jobs_run)
        return processes._filling is not None

    monkeypatch.setattr(spare_processes, "_SOON_SECONDS", 0.0)
    monkeypatch.setattr(spare_processes.ray, "nodes", list)

    assert asyncio.run(looked()) != jobs_run
