"""The Ray cluster: whether it answers, what it offers, and whether the registry, the engines and the workers' storage
work on it.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import ray
from ray._private import services
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from pipelines.engines import classifier_resources, runs_on_gpu
from pipelines.settings import Settings
from serve_app.doctor.finding import Finding
from serve_app.doctor.models import examine_engine, examine_engine_when_taken
from serve_app.doctor.nodes import classifying
from serve_app.doctor.versions import examine_versions
from serve_app.doctor.workers import examine_workers
from serve_app.driver_pool import classifier_slots
from serve_app.exceptions import BucketTaken
from serve_app.placement import ACTOR_NAME, HEAD_RESOURCES, NAMESPACE

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 20.0
_NODE_SECONDS = 180.0
_ON_A_NODE = "on a node"
_ON_HEAD = "on the head, which answers previews"


def examine_cluster(settings: Settings, address: str, wait_seconds: float) -> Iterator[Finding]:
    """Connects to the cluster at ``address`` (``auto``: the one of this machine) and leaves it as it was; waits so many
    seconds, once, for nodes that take the engines.
    """
    # As the service does, which gives the nodes that classify no more than they need.
    settings = settings.without_admin_key
    try:
        _require_answer(address)
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RayError, RuntimeError, ValueError) as error:
        yield Finding(
            "Ray",
            False,
            f"no cluster at {address!r}: {str(error).splitlines()[0]}",
            "Run this on a node of the cluster, or start Ray; where token authentication is on, ~/.ray/auth_token and"
            " RAY_AUTH_MODE=token must be the cluster's.",
        )
        return
    try:
        yield examine_room(settings, [node["Resources"] for node in _living_nodes()])
        yield _registry()
        yield from _engines_on_nodes(settings, wait_seconds)
        # The engines may have brought nodes up.
        nodes = _living_nodes()
        for model in settings.models:
            # The only node that classifies has been tried, but for an engine that it runs on its GPU and previews on
            # its CPU.
            alone = len(nodes) == 1 and classifying(nodes)
            if not settings.preview_gpus and (not alone or runs_on_gpu(settings, model)):
                yield _engine_on_head(settings, model)
        yield from examine_versions(settings, nodes)
        yield from examine_workers(settings, nodes)
    finally:
        ray.shutdown()


def _living_nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def _require_answer(address: str) -> None:
    """Raises OSError where nothing listens: Ray itself would try for minutes."""
    host, _, port = services.canonicalize_bootstrap_address_or_die(address).rpartition(":")
    with socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS):
        return


def examine_room(settings: Settings, nodes: Sequence[Mapping[str, float]]) -> Finding:
    """Whether a classifier of the default model has room on one of the nodes, which offer these resources."""
    resources = {kind: sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU")}
    on_gpu = runs_on_gpu(settings, settings.default_model)
    kind, each = ("GPU", settings.classifier_gpus) if on_gpu else ("CPU", settings.classifier_cpus)
    found = f"{len(nodes)} node{'s' if len(nodes) != 1 else ''}, {resources['CPU']:g} CPUs, {resources['GPU']:g} GPUs"
    most = max((node.get(kind, 0) for node in nodes), default=0)
    if each > most:
        return Finding(
            "Ray",
            False if most else None,
            f"{found}; a classifier of {settings.default_model} asks for {each:g} {kind}, and no node has more than"
            f" {most:g}",
            "An autoscaler may still add such a node once a job or the check of the engine asks for it: run this again"
            f" when `ray status` shows it. Where none does, add a node, or ask for less: classifier_{kind.lower()}s.",
        )
    slots = classifier_slots(settings, resources, on_gpu)
    if slots * each > resources[kind]:
        return Finding(
            "Ray",
            True,
            f"{found}; {slots} classifiers of {each:g} {kind} need more than is there now, so jobs wait for nodes to"
            " come",
        )
    return Finding("Ray", True, f"{found}: room for {slots} classifiers of {each:g} {kind}")


def _registry() -> Finding:
    try:
        registry: Any = ray.get_actor(ACTOR_NAME, namespace=NAMESPACE)
        epoch = ray.get(registry.ping.remote(), timeout=_ANSWER_SECONDS)
    except ValueError:
        return Finding("job registry", False, "is not there", "Deploy the service: serve deploy <its config file>.")
    except (GetTimeoutError, RayError) as error:
        if isinstance(error, RayTaskError) and isinstance(error.cause, BucketTaken):
            return Finding(
                "job registry",
                False,
                "has lost the bucket to another cluster's, and does nothing",
                "Each cluster needs a bucket of its own: set LABELWORKS_S3_BUCKET. Or, if this one is to have it, stop"
                " the other one. Either way, start Ray anew on the head then.",
            )
        return Finding(
            "job registry",
            False,
            f"does not answer: {type(error).__name__}",
            "Look at its log on the head node (/tmp/ray/session_latest/logs); most often the storage does not answer.",
        )
    return Finding("job registry", True, f"answers (epoch {epoch})")


def _engines_on_nodes(settings: Settings, wait_seconds: float) -> Iterator[Finding]:
    """All engines are asked for at once, so that they wait for nodes together."""
    task = ray.remote(examine_engine_when_taken)
    asked: dict[str, Any] = {
        model: task.options(num_returns="streaming", max_retries=0, **classifier_resources(settings, model)).remote(
            settings, model, _ON_A_NODE
        )
        for model in settings.models
    }
    ready, waiting = ray.wait([*asked.values()], num_returns=len(asked), timeout=wait_seconds)
    for examination in waiting:
        ray.cancel(examination, force=True)
    taken: list[Any] = list(ready)
    ends = [examination.completed() for examination in taken]
    ended = ray.wait(ends, num_returns=len(ends), timeout=_NODE_SECONDS)[0] if ends else []
    for model, examination in asked.items():
        if examination not in taken:
            yield _untried(model, wait_seconds)
        elif examination.completed() in ended:
            yield _answer(model, _ON_A_NODE, examination)
        else:
            ray.cancel(examination, force=True)
            yield _late(model, _ON_A_NODE, "the node's")


def _untried(model: str, wait_seconds: float) -> Finding:
    return Finding(
        f"engine {model}",
        None,
        f"not tried on a node: none came, or had room for a classifier, within {wait_seconds:g} s",
        "That is usual where workers come on demand, which takes minutes, and while jobs hold all classifiers: run this"
        " again when `ray status` shows a worker with room, as after a job, or let it wait longer (--wait SECONDS). If"
        " no worker ever takes it, compare classifier_cpus and classifier_gpus with what workers offer.",
    )


def _engine_on_head(settings: Settings, model: str) -> Finding:
    task = ray.remote(examine_engine).options(max_retries=0, num_cpus=0, resources=HEAD_RESOURCES)
    examination = task.remote(settings, model, _ON_HEAD, False)
    if not ray.wait([examination], timeout=_NODE_SECONDS)[0]:
        ray.cancel(examination, force=True)
        return _late(model, _ON_HEAD, "the head's")
    return _answer(model, _ON_HEAD, [examination])


def _answer(model: str, where: str, answers: Iterable[Any]) -> Finding:
    """The last of them, once they are there."""
    try:
        *_, finding = (ray.get(answer) for answer in answers)
    except RayError as error:
        return Finding(f"engine {model}", False, f"{where}: {error}", "Look at the node's logs.")
    found: Finding = finding
    return found


def _late(model: str, where: str, whose: str) -> Finding:
    return Finding(
        f"engine {model}",
        False,
        f"{where}: not ready within {_NODE_SECONDS:.0f} s",
        f"Its weights may still be downloading: look at {whose} logs, and run this again.",
    )
