"""Doing beforehand what the first job of a process would have to wait for: loading code, making connections."""

from __future__ import annotations

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.dataset import configure_ray_data
from pipelines.engines import arithmetic_for, fingerprint_for, token_counter_for
from pipelines.layout import REGISTRY_EPOCH_KEY
from pipelines.node import node_resources
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings


class _Unchanged:
    def __call__(self, batch: pa.Table) -> pa.Table:
        return batch


def warm_up(store: ObjectStore, settings: Settings) -> None:
    """Get this process ready to run a job."""
    configure_ray_data()
    token_counter_for(settings, settings.default_model)
    fingerprint_for(settings, settings.default_model, arithmetic_for(settings, settings.default_model))
    store.exists(REGISTRY_EPOCH_KEY)
    if not node_resources().get("CPU"):
        # Ray Data might ask for a node that has some, for no job at all.
        return
    # The first Dataset of a process loads code, and the first of a cluster starts Ray Data's helper actors.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    dataset = ray.data.from_blocks([pa.table({"row": [0]})]).map_batches(
        _Unchanged, compute=ActorPoolStrategy(size=1), num_cpus=0, scheduling_strategy=here
    )
    for _ in dataset.iter_batches(batch_size=None, prefetch_batches=0):
        pass
