"""What is done beforehand where the head of a cluster is kept for the service alone."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pipelines import warm_up as module
from pipelines.dataset import configure_ray_data
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from pipelines.warm_up import warm_up


class AskedStore:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def exists(self, key: str) -> bool:
        self.asked.append(key)
        return True


def test_a_node_without_cpus_asks_the_cluster_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("a task would bring a worker node up, or fail for want of its rights")

    # Loads code of Ray Data that makes remote functions.
    configure_ray_data()
    monkeypatch.setattr(module, "node_resources", lambda: {"node:__internal_head__": 1.0})
    monkeypatch.setattr(module.ray, "remote", refused)
    monkeypatch.setattr(module.ray.data, "from_blocks", refused)
    store = AskedStore()

    warm_up(cast(ObjectStore, store), Settings(models=("static",)))

    assert len(store.asked) == 1
