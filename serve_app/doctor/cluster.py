"""The Ray cluster: whether it answers, what it offers, and whether the registry, the engines and the workers' storage
work on it.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ray
from ray._private import services
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from pipelines.engines import classifier_resources, runs_on_gpu
from pipelines.settings import Settings
from serve_app.doctor.finding import Finding
from serve_app.doctor.models import examine_engine
from serve_app.doctor.versions import examine_versions
from serve_app.doctor.workers import examine_workers
from serve_app.driver_pool import classifier_slots
from serve_app.exceptions import BucketTaken
from serve_app.placement import ACTOR_NAME, HEAD_RESOURCES, NAMESPACE

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 20.0
_NODE_SECONDS = 180.0
_ON_HEAD = "on the head, which answers previews"


def examine_cluster(settings: Settings, address: str) -> Iterator[Finding]:
    """Connects to the cluster at ``address`` (``auto``: the one of this machine) and leaves it as it was."""
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
        for model in settings.models:
            yield _engine_on_a_node(settings, model)
        # The engines may have brought nodes up.
        nodes = _living_nodes()
        for model in settings.models:
            # On a single node this would repeat the above, unless jobs use its GPU and previews its CPU.
            if not settings.preview_gpus and (len(nodes) > 1 or runs_on_gpu(settings, model)):
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
            False,
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


def _engine_on_a_node(settings: Settings, model: str) -> Finding:
    late = Finding(
        f"engine {model}",
        False,
        f"no node took a classifier within {_NODE_SECONDS:.0f} s",
        "All classifiers may be busy; a node that comes on demand may not be there yet: run this again when"
        " `ray status` shows it. Or no node offers what one asks for: compare classifier_cpus and classifier_gpus.",
    )
    return _engine(settings, model, "on a node", classifier_resources(settings, model), late, for_jobs=True)


def _engine_on_head(settings: Settings, model: str) -> Finding:
    late = Finding(
        f"engine {model}",
        False,
        f"{_ON_HEAD}: not ready within {_NODE_SECONDS:.0f} s",
        "Its weights may still be downloading: look at the head's logs, and run this again.",
    )
    return _engine(settings, model, _ON_HEAD, {"num_cpus": 0, "resources": HEAD_RESOURCES}, late, for_jobs=False)


def _engine(
    settings: Settings, model: str, where: str, needs: Mapping[str, Any], late: Finding, *, for_jobs: bool
) -> Finding:
    found = ray.remote(examine_engine).options(max_retries=0, **needs).remote(settings, model, where, for_jobs)
    try:
        finding: Finding = ray.get(found, timeout=_NODE_SECONDS)
    except GetTimeoutError:
        ray.cancel(found, force=True)
        return late
    except RayError as error:
        return Finding(f"engine {model}", False, f"{where}: {error}", "Look at the node's logs.")
    return finding
