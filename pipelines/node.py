"""The node of the Ray cluster that this process runs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray


def node_resources() -> Mapping[str, float]:
    """All that Ray may give away on this node, in use or not: ``CPU``, ``GPU``, and others of Ray's own."""
    own = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    found: Mapping[str, float] = next((node["Resources"] for node in nodes if node["NodeID"] == own), {})
    return found
