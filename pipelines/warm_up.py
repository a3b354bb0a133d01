"""Doing beforehand what the first job of a process would have to wait for: loading code, making connections."""

from __future__ import annotations

from typing import Any

import ray

from pipelines.dataset import configure_ray_data
from pipelines.engines import token_counter_for
from pipelines.layout import REGISTRY_EPOCH_KEY
from pipelines.node import node_resources
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings


def warm_up(store: ObjectStore, settings: Settings) -> None:
    """Get this process ready to run a job, and a worker process ready to read a small job's input.

    Ray keeps such a worker for the detached actor that used it first, so it is of use to this process alone, and for
    tasks: an actor, as a classifier is, gets a process that has run nothing.
    """
    configure_ray_data()
    if not node_resources().get("CPU"):
        # A task would run on another node, whose rights end at inputs and shards, or bring one up for no job at all.
        _load(store, settings)
        return
    load = ray.remote(_load).options(num_cpus=settings.classifier_cpus)
    loaded: Any = load.remote(store, settings)
    _load(store, settings)
    # The first Dataset of a process loads code, and the first of a cluster starts Ray Data's helper actors.
    for _ in ray.data.range(1, override_num_blocks=1).iter_batches(batch_size=None, prefetch_batches=0):
        pass
    ray.get(loaded)


def _load(store: ObjectStore, settings: Settings) -> None:
    token_counter_for(settings, settings.default_model)
    store.exists(REGISTRY_EPOCH_KEY)
