"""Doing beforehand what the first job of a process would have to wait for: loading code, making connections."""

from __future__ import annotations

from typing import Any

import ray

from pipelines.dataset import configure_ray_data
from pipelines.engines import token_counter_for
from pipelines.layout import REGISTRY_EPOCH_KEY
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings

# One becomes a small job's classifier, the other reads.
_WORKERS = 2


def warm_up(store: ObjectStore, settings: Settings) -> None:
    """Get this process ready to run a job, and idle worker processes ready for the job's actors and tasks.

    Ray keeps such workers for the detached actor that used them first, so they are of use to this process alone.
    """
    configure_ray_data()
    load = ray.remote(_load).options(num_cpus=settings.classifier_cpus)
    workers: list[Any] = [load.remote(store, settings) for _ in range(_WORKERS)]
    _load(store, settings)
    # The first Dataset of a process loads code, and the first of a cluster starts Ray Data's helper actors.
    for _ in ray.data.range(1, override_num_blocks=1).iter_batches(batch_size=None, prefetch_batches=0):
        pass
    ray.get(workers)


def _load(store: ObjectStore, settings: Settings) -> None:
    token_counter_for(settings, settings.default_model)
    store.exists(REGISTRY_EPOCH_KEY)
