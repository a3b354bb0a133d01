"""Whether the nodes that classify would all answer alike: one job's file must not mix versions of an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.engines import arithmetic_for, fingerprint_for, runs_on_gpu
from pipelines.settings import Settings
from serve_app.doctor.finding import Finding
from serve_app.doctor.nodes import ask_nodes, classifying


def examine_versions(settings: Settings, nodes: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Compares what those of Ray's ``nodes`` have that an engine runs on; says nothing where there is but one."""
    for model in settings.models:
        kind = "GPU" if runs_on_gpu(settings, model) else "CPU"
        able = [node for node in classifying(nodes) if node["Resources"].get(kind)]
        if len(able) < 2:
            continue
        answers = list(ask_nodes(version_here, [(node, (settings, model)) for node in able]))
        yield compare_versions(model, {each.node: each.value for each in answers if not each.failure})


def version_here(settings: Settings, model: str) -> str:
    """What tells this node's version of the engine, its arithmetic included, from another's."""
    return fingerprint_for(settings, model, arithmetic_for(settings, model))


def compare_versions(model: str, versions: Mapping[str, str]) -> Finding:
    """``versions`` by the node that has them."""
    nodes_of: dict[str, list[str]] = {}
    for node, version in sorted(versions.items()):
        nodes_of.setdefault(version, []).append(node)
    check = f"versions of {model}"
    if len(nodes_of) < 2:
        return Finding(check, True, f"the same on {len(versions)} nodes")
    return Finding(
        check,
        False,
        f"not the same on all nodes: {' | '.join(', '.join(nodes) for nodes in nodes_of.values())}",
        "A job that meets two versions fails. Install the same code, libraries and weights on all nodes (`ray up`"
        " brings a cluster's up to date), and have one kind of CPU for the engines that run on CPUs.",
    )
