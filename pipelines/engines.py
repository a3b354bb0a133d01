"""The models that the operator's settings name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from models.exceptions import ModelUnavailable
from models.fingerprint import engine_fingerprint
from models.processors import usable_processors
from models.protocol import Engine, TokenCounter
from models.registry import engine_arithmetic, load_engine, load_token_counter, uses_gpu
from pipelines import ndjson, range_classifier, ranges, results
from pipelines.settings import Settings

_NODE_RESOURCES = {"num_cpus": "CPU", "num_gpus": "GPU"}
"""How Ray names, among those of a node, the resources that an actor asks for."""


def engine_for(settings: Settings, model: str, threads: int | None = None) -> Engine:
    """The engine with its weights loaded; ``threads`` instead of the classifiers' number.

    Raises as models.registry.load_engine does.
    """
    return load_engine(model, threads=threads or settings.classifier_threads, weights=settings.weights_of(model))


def require_gpu(settings: Settings, model: str, engine: Engine) -> None:
    """Raises ModelUnavailable where a classifier's engine should compute on a GPU and does not."""
    if runs_on_gpu(settings, model) and engine.info.device != "cuda":
        raise ModelUnavailable(
            f"this node offers a GPU that torch cannot use, so it would compute on a {engine.info.device.upper()} what"
            " others compute on GPUs, and one file must not hold answers of both. Mend its driver, or a torch that is"
            " built for it (nvidia-smi, and torch.cuda.is_available() in Python, tell more), or take the node away;"
            " then start the job again."
        )


def threads_of_classifier(settings: Settings, model: str, classifiers: int, node: Mapping[str, float]) -> int:
    """How many CPU threads a classifier has on this node. Its job has so many ``classifiers`` in all, and the node the
    Ray resources ``node``.

    Unless the operator says otherwise, those of the job that fit on the node share the processors that this process may
    use. The classifiers of other jobs are not known, and compete with these for the processors.
    """
    if settings.classifier_threads:
        return settings.classifier_threads
    asked = classifier_resources(settings, model)
    fitting = max(min(int(node.get(_NODE_RESOURCES[name], 0) / each) for name, each in asked.items()), 1)
    return max(1, round(usable_processors() / min(fitting, classifiers)))


def token_counter_for(settings: Settings, model: str) -> TokenCounter:
    """Counts tokens as the engine does; loaded once a process."""
    return load_token_counter(model, weights=settings.weights_of(model))


def runs_on_gpu(settings: Settings, model: str) -> bool:
    """Whether the operator gives GPUs to classifiers and the engine can use them."""
    return settings.classifier_gpus > 0 and uses_gpu(model)


def classifier_resources(settings: Settings, model: str) -> dict[str, float]:
    """What one classifier asks Ray for: whole GPUs or a part of the CPUs, never both."""
    if runs_on_gpu(settings, model):
        return {"num_gpus": settings.classifier_gpus}
    return {"num_cpus": settings.classifier_cpus}


def arithmetic_for(settings: Settings, model: str) -> str:
    """What a classifier on this node computes in, where that depends on the node."""
    return "on a GPU" if runs_on_gpu(settings, model) else engine_arithmetic(model)


def fingerprint_for(settings: Settings, model: str, arithmetic: str) -> str:
    """Tells the version of all that decides a job's result lines: the engine that this process would load, the
    ``arithmetic`` of the nodes that it is to run on, and the code that reads and writes lines. How large ranges are
    decides none of it: a plan keeps its ranges.
    """
    engine = engine_fingerprint(model, weights=settings.weights_of(model), arithmetic=arithmetic)
    return hashlib.sha256(engine.encode() + code_of_lines()).hexdigest()[:32]


@lru_cache(maxsize=1)
def code_of_lines() -> bytes:
    """A hash of the code that reads and writes lines, as this process found it when it first asked."""
    found = hashlib.sha256()
    for module in (ranges, ndjson, range_classifier, results):
        found.update(Path(module.__file__ or "").read_bytes())
    return found.digest()
