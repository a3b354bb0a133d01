"""Asking the cluster's nodes, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from serve_app.placement import HEAD_RESOURCES

# A process on the node may have to start for it.
_ANSWER_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node answered, or the ``failure`` for which there is no answer."""

    node: str
    value: Any = None
    failure: str = ""


def classifying(nodes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of Ray's ``nodes`` that offer CPUs or GPUs."""
    return [node for node in nodes if node["Resources"].get("CPU") or node["Resources"].get("GPU")]


def is_head(node: Mapping[str, Any]) -> bool:
    """Whether the registry, the drivers and previews are on this node of Ray's."""
    resources: Mapping[str, float] = node["Resources"]
    return HEAD_RESOURCES.keys() <= resources.keys()


def ask_nodes(
    function: Callable[..., Any], asked: Sequence[tuple[Mapping[str, Any], tuple[Any, ...]]]
) -> Iterator[NodeAnswer]:
    """Call ``function`` on each of the nodes with the arguments that stand beside it, on all at once."""
    calls = {}
    for node, arguments in asked:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        # No CPU: jobs may have them all.
        task = ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=here)
        calls[task.remote(*arguments)] = node["NodeManagerHostname"]
    _, silent = ray.wait(list(calls), num_returns=len(calls), timeout=_ANSWER_SECONDS)
    for answer in silent:
        ray.cancel(answer, force=True)
    for answer, name in calls.items():
        if answer in silent:
            yield NodeAnswer(name, failure=f"the check was not done within {_ANSWER_SECONDS:.0f} s")
            continue
        try:
            yield NodeAnswer(name, ray.get(answer))
        except RayError as error:
            yield NodeAnswer(name, failure=f"the check ended with {type(error).__name__}")
