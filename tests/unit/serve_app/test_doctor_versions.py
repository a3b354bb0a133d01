"""What `labelworks doctor` says of nodes that have one engine in several versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pipelines.settings import Settings
from serve_app.doctor import versions
from serve_app.doctor.finding import Finding
from serve_app.doctor.nodes import NodeAnswer
from serve_app.doctor.versions import examine_versions

HEAD = {"NodeManagerHostname": "head", "Resources": {"CPU": 0.0, "node:__internal_head__": 1.0}}
WORKERS = [{"NodeManagerHostname": name, "Resources": {"CPU": 8.0}} for name in ("a", "b")]
SETTINGS = Settings(models=("minilm",))


def findings(monkeypatch: pytest.MonkeyPatch, nodes: Sequence[dict[str, Any]], **answers: Any) -> list[Finding]:
    """What is found where nodes answer so; one that is not among the answers gives none."""

    def ask_nodes(_: Any, asked: Sequence[tuple[dict[str, Any], Any]]) -> list[NodeAnswer]:
        names = [node["NodeManagerHostname"] for node, _ in asked]
        return [NodeAnswer(name, answers.get(name), "" if name in answers else "it is silent") for name in names]

    monkeypatch.setattr(versions, "ask_nodes", ask_nodes)
    return list(examine_versions(SETTINGS, nodes))


def test_workers_that_have_not_the_version_of_the_head_which_plans_jobs_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version, arithmetic = findings(
        monkeypatch, [HEAD, *WORKERS], head=("new", "bf16"), a=("old", "int8"), b=("old", "int8")
    )

    assert not version.ok
    assert version.check == "versions of minilm"
    assert version.found == "not the same on all nodes: a, b | head"
    assert "`ray up`" in version.advice
    assert arithmetic.ok


def test_a_head_that_only_plans_may_compute_otherwise_than_workers_but_these_not_from_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = {"head": ("one", "bf16"), "a": ("one", "int8"), "b": ("one", "f32")}
    version, arithmetic = findings(monkeypatch, [HEAD, *WORKERS], **answers)

    assert version.ok
    assert version.found == "the same on 3 nodes"
    assert not arithmetic.ok
    assert arithmetic.found == "not the same on all nodes: a | b"
    assert "one for all nodes" in arithmetic.advice


def test_a_node_that_does_not_answer_is_a_problem_and_not_taken_for_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, version, _ = findings(monkeypatch, [HEAD, *WORKERS], head=("one", "int8"), b=("one", "int8"))

    assert not silent.ok
    assert (silent.check, silent.found) == ("version of minilm on node a", "it is silent")
    assert version.found == "the same on 2 nodes"


def test_of_a_machine_alone_there_is_nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"NodeManagerHostname": "all", "Resources": {"CPU": 2.0, "node:__internal_head__": 1.0}}
    assert findings(monkeypatch, [alone]) == []
