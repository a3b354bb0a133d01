"""Starting and stopping the whole service on this machine, with everything it keeps in one folder."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import ray
from ray import serve

from pipelines.object_store import ObjectStore
from pipelines.settings import MIB, Settings
from serve_app.accounts import find_key, new_key, store_key
from serve_app.deployment import APPLICATION_NAME, build
from serve_app.embedded.exceptions import EmbeddedStackError
from serve_app.embedded.gateway import S3Gateway
from serve_app.embedded.ports import choose_port
from serve_app.embedded.state import StackState, find_state, locked, ray_address_file, write_state
from serve_app.exceptions import Unauthorized
from serve_app.placement import NAMESPACE
from serve_app.proxy_answers import configure_proxy
from serve_app.registry_client import connect_registry
from serve_app.spare_processes import configure_spare_processes

logger = logging.getLogger(__name__)

DEFAULT_ACCOUNT = "default"
_OBJECT_STORE_BYTES = 1024 * MIB
_WATCH_SECONDS = 1.0
# Ray ends idle workers above one a processor. With two processors it would end some that a job needs soon.
_IDLE_WORKERS = 4
_RAY_TIMED_OUT = "timed out during startup"


@dataclass(frozen=True, slots=True)
class Ready:
    """Where the service is, a key for it, and where Prometheus reads its series."""

    url: str
    api_key: str
    account: str
    metrics_url: str


@contextmanager
def embedded_stack(
    folder: Path, *, http_port: int | None = None, s3_port: int | None = None, s3_endpoint: str | None = None
) -> Iterator[Ready]:
    """The running service; leaving the context stops it. Raises EmbeddedStackError with a one-line reason.

    Ports not given are those of the last run where they are free, else any. ``s3_endpoint`` is where the service
    reaches the S3 server, if not directly.
    """
    folder = folder.resolve()
    # What is uploaded and the keys to it are nobody else's business on this machine.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder):
        state = _state_for_run(folder, http_port, s3_port)
        os.environ.update(state.settings_environment())
        _bypass_proxies()
        if s3_endpoint:
            os.environ["LABELWORKS_S3_ENDPOINT"] = s3_endpoint
        settings = Settings()
        gateway = S3Gateway(
            folder / "s3", port=state.s3_port, access_key=state.s3_access_key, secret_key=state.s3_secret_key
        )
        with gateway:
            store = ObjectStore(settings, retry_seconds=10)
            store.ensure_bucket()
            state = replace(state, api_key=working_key(store, state.account, state.api_key))
            write_state(folder, state)
            stopped = threading.Event()
            watcher = threading.Thread(target=_keep_running, args=(gateway, stopped), daemon=True)
            watcher.start()
            try:
                _start_ray_and_serve(folder, state, settings)
                yield Ready(state.url, state.api_key or "", state.account, metrics_url())
            finally:
                # Serve goes with its Ray: shutting it down first would only wait for what is about to end.
                ray.shutdown()
                ray_address_file(folder).unlink(missing_ok=True)
                stopped.set()
                watcher.join()


def metrics_url() -> str:
    """Where the first node of the Ray that this process is connected to exports its series."""
    node = ray.nodes()[0]  # type: ignore[no-untyped-call]
    return f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"


def _start_ray_and_serve(folder: Path, state: StackState, settings: Settings) -> None:
    # Ray's GCS keeps 3 kB of each of the last 100,000 calls otherwise, every poll of a job being two of them.
    os.environ.setdefault("RAY_task_events_max_num_task_in_gcs", "1000")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Serve's controller looks after a handful of replicas here; ten times a second would take 1 % of two processors.
    os.environ.setdefault("RAY_SERVE_CONTROL_LOOP_INTERVAL_S", "0.5")
    # One memory pool a processor instead of eight, in which a driver kept 45 MiB that its job had freed.
    os.environ.setdefault("MALLOC_ARENA_MAX", str(os.cpu_count() or 1))
    configure_spare_processes()
    configure_proxy()
    try:
        ray.init(
            address="local",
            namespace=NAMESPACE,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_OBJECT_STORE_BYTES,
            _system_config={"num_workers_soft_limit": max(os.cpu_count() or 1, _IDLE_WORKERS)},
        )
    except Exception as error:
        # Ray has no exception of its own for this, and its time to start is fixed.
        if _RAY_TIMED_OUT not in str(error):
            raise
        raise EmbeddedStackError("Ray did not start in time, the machine is too busy: start the stack again") from error
    ray_address_file(folder).write_text(ray.get_runtime_context().gcs_address)
    loaded = connect_registry(settings).ping.remote()
    serve.start(http_options={"host": "127.0.0.1", "port": state.http_port})
    serve.run(build({}), name=APPLICATION_NAME, route_prefix="/")
    ray.get(loaded)


def _keep_running(gateway: S3Gateway, stopped: threading.Event) -> None:
    while not stopped.wait(_WATCH_SECONDS):
        if not gateway.running():
            try:
                gateway.start()
            except EmbeddedStackError as error:
                logger.error("the S3 server cannot be started again, trying on: %s", error)


def _state_for_run(folder: Path, http_port: int | None, s3_port: int | None) -> StackState:
    last = find_state(folder) or StackState(
        # 0: it has had none yet.
        http_port=0,
        s3_port=0,
        s3_access_key="labelworks",
        s3_secret_key=secrets.token_hex(20),
        account=DEFAULT_ACCOUNT,
    )
    return replace(last, http_port=choose_port(http_port, last.http_port), s3_port=choose_port(s3_port, last.s3_port))


def working_key(store: ObjectStore, account: str, last: str | None) -> str:
    """The key of the last run where it still works, else a new one, also where the account has as many as it may."""
    if last is not None:
        try:
            find_key(store, last)
        except Unauthorized:
            logger.warning("the key of the last run was revoked or has expired; READY tells a new one")
        else:
            return last
    issued = new_key(account)
    store_key(store, issued.key, issued.key_hash)
    return issued.secret


def _bypass_proxies() -> None:
    """Everything here talks to this machine, whatever proxy the environment names for the rest of the world."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))
