"""Whether the nodes that classify would all answer alike: one job's file must not mix versions of an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.engines import arithmetic_for, fingerprint_for, runs_on_gpu
from pipelines.settings import Settings
from serve_app.doctor.finding import Finding
from serve_app.doctor.nodes import ask_nodes, classifying, is_head

_SAME_VERSION = (
    "A job that meets two versions fails. Install the same code, libraries and weights on all nodes; `ray up` brings a"
    " cluster's up to date."
)
_SAME_CPU = "A job that meets two kinds of CPU fails: have one for all nodes that run engines on CPUs."


def examine_versions(settings: Settings, nodes: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Compares the head, whose version a job's plan names, with those of Ray's ``nodes`` that the engine runs on, and
    what these compute in; says nothing where there is but one.
    """
    for model in settings.models:
        kind = "GPU" if runs_on_gpu(settings, model) else "CPU"
        able = [node for node in classifying(nodes) if node["Resources"].get(kind)]
        asked = able + [node for node in nodes if is_head(node) and node not in able]
        if len(asked) < 2:
            continue
        answers = list(ask_nodes(version_here, [(node, (settings, model)) for node in asked]))
        for each in answers:
            if each.failure:
                yield Finding(f"version of {model} on node {each.node}", False, each.failure, "Look at its logs.")
        found = {each.node: each.value for each in answers if not each.failure}
        working = {node["NodeManagerHostname"] for node in able}
        yield compare(f"versions of {model}", {node: version for node, (version, _) in found.items()}, _SAME_VERSION)
        yield compare(
            f"arithmetic of {model}",
            {node: arithmetic for node, (_, arithmetic) in found.items() if node in working},
            _SAME_CPU,
        )


def version_here(settings: Settings, model: str) -> tuple[str, str]:
    """What tells this node's version of the engine from another's, and what it computes in."""
    return fingerprint_for(settings, model, ""), arithmetic_for(settings, model)


def compare(check: str, found: Mapping[str, str], advice: str) -> Finding:
    """Whether all nodes have the same; ``found`` says what each has, by its name."""
    nodes_of: dict[str, list[str]] = {}
    for node, version in sorted(found.items()):
        nodes_of.setdefault(version, []).append(node)
    if len(nodes_of) < 2:
        return Finding(check, True, f"the same on {len(found)} nodes")
    named = " | ".join(", ".join(nodes) for nodes in nodes_of.values())
    return Finding(check, False, f"not the same on all nodes: {named}", advice)
