"""The service on a Ray cluster of several nodes on this machine: a head that classifies nothing, and worker nodes.

SIGUSR1 adds a worker node.
"""

from __future__ import annotations

import argparse
import os
import signal
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.cluster_utils import Cluster

from pipelines.object_store import ObjectStore
from pipelines.settings import MIB, Settings
from serve_app.accounts import create_key
from serve_app.deployment import APPLICATION_NAME, build
from serve_app.embedded.gateway import S3Gateway
from serve_app.embedded.ports import free_port
from serve_app.embedded.stack import DEFAULT_ACCOUNT, Ready, metrics_url
from serve_app.embedded.state import StackState, read_state, write_state
from serve_app.placement import NAMESPACE
from serve_app.proxy_answers import configure_proxy
from serve_app.spare_processes import configure_spare_processes
from tests.chaos.announcement import Announcement

_NODE: dict[str, Any] = {"object_store_memory": 100 * MIB, "include_dashboard": False}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--nodes", type=int, default=2, help="Worker nodes of one CPU each.")
    parser.add_argument("--bucket-of", type=Path, help="The folder of a stack whose bucket this one is to use.")
    told = parser.parse_args()
    folder: Path = told.data
    announcement = Announcement()
    state = StackState(free_port(), free_port(), "chaos", "chaos-secret-key", DEFAULT_ACCOUNT)
    server: AbstractContextManager[object] = S3Gateway(
        folder / "s3", port=state.s3_port, access_key=state.s3_access_key, secret_key=state.s3_secret_key
    )
    if told.bucket_of:
        state, server = replace(read_state(told.bucket_of), http_port=free_port()), nullcontext()
    write_state(folder, state)
    os.environ.update(state.settings_environment())
    configure_proxy()
    configure_spare_processes()
    settings = Settings()
    with server:
        store = ObjectStore(settings)
        store.ensure_bucket()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **_NODE})
        try:
            for _ in range(told.nodes):
                cluster.add_node(num_cpus=1, **_NODE)
            signal.signal(signal.SIGUSR1, lambda _number, _frame: cluster.add_node(num_cpus=1, **_NODE))
            ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False)
            serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": state.http_port})
            serve.run(build({}), name=APPLICATION_NAME, route_prefix="/")
            key = create_key(store, state.account)
            announcement.serve_until_stopped(Ready(state.url, key, state.account, metrics_url()))
        finally:
            ray.shutdown()
            cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
