"""Doing beforehand what the first job of a process would have to wait for: loading code, making connections."""

from __future__ import annotations

import ray

from pipelines.dataset import configure_ray_data
from pipelines.engines import token_counter_for
from pipelines.layout import REGISTRY_EPOCH_KEY
from pipelines.node import node_resources
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings


def warm_up(store: ObjectStore, settings: Settings) -> None:
    """Get this process ready to run a job."""
    configure_ray_data()
    token_counter_for(settings, settings.default_model)
    store.exists(REGISTRY_EPOCH_KEY)
    if not node_resources().get("CPU"):
        # A task would run on another node, or bring one up for no job at all.
        return
    # The first Dataset of a process loads code, and the first of a cluster starts Ray Data's helper actors.
    for _ in ray.data.range(1, override_num_blocks=1).iter_batches(batch_size=None, prefetch_batches=0):
        pass
