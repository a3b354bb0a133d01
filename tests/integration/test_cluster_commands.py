"""The commands of cluster.yaml, run on this machine: a head, a worker, Serve from its config file, a job."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import yaml

from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.settings import MIB, Settings
from serve_app.embedded.gateway import S3Gateway
from serve_app.embedded.ports import free_port
from tests.integration.service import create_uploaded, descendants, has_ended, kill_if_alive, start, wait_for
from tests.unit.operations.cluster_files import OPERATIONS, ROOT, cluster, serve_config

VENV = Path(sys.executable).parent
_START_SECONDS = 90.0
_SMALL_NODE = f"--object-store-memory={100 * MIB} --num-cpus="


class LocalNodes:
    """Runs commands of cluster.yaml with its paths and ports moved to this machine's, and ends what they started."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.gcs, self.dashboard, self.http = free_port(), free_port(), free_port()
        self._started: list[subprocess.Popen[bytes]] = []
        token = home / ".ray" / "auth_token"
        token.parent.mkdir()
        token.write_text("0" * 64)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("LABELWORKS_", "RAY_"))},
            "HOME": str(home),
            "RAY_HEAD_IP": "127.0.0.1",
        }

    def moved(self, command: str) -> str:
        """The command as it is, but for what two clusters on one machine cannot both have."""
        moved = command.replace("~/labelworks/.venv/bin", str(VENV))
        moved = moved.replace("~/labelworks/serve_app/operations", str(self.home))
        moved = moved.replace("6379", str(self.gcs)).replace("8265", str(self.dashboard))
        for elsewhere in ("--metrics-export-port=8080", "--autoscaling-config=~/ray_bootstrap_config.yaml"):
            moved = moved.replace(elsewhere, "")
        return moved

    def start_node(self, command: str, cpus: int) -> None:
        """Starts a node that ends with this object. ``--block`` keeps its processes below one of ours."""
        log = (self.home / "nodes.log").open("ab")
        line = f"{self.moved(command)} --block {_SMALL_NODE}{cpus} --node-ip-address=127.0.0.1"
        self._started.append(
            subprocess.Popen(["bash", "-c", line], cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        )

    def run(self, command: str) -> None:
        subprocess.run(
            ["bash", "-c", self.moved(command)],
            cwd=ROOT,
            env=self._environment,
            check=True,
            capture_output=True,
            timeout=_START_SECONDS,
        )

    def stop(self) -> None:
        for node in self._started:
            for pid in [*descendants(node.pid), node.pid]:
                kill_if_alive(pid)
            node.wait()
        self._started.clear()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNodes]:
    local = LocalNodes(tmp_path_factory.mktemp("home"))
    try:
        yield local
    finally:
        local.stop()


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("s3")
    with S3Gateway(folder, port=free_port(), access_key="cluster", secret_key="cluster-secret") as gateway:
        settings = Settings(
            s3_endpoint=gateway.endpoint,
            s3_access_key="cluster",
            s3_secret_key="cluster-secret",  # type: ignore[arg-type]
        )
        ObjectStore(settings).ensure_bucket()
        yield settings


@pytest.fixture(scope="module")
def client(nodes: LocalNodes, storage: Settings) -> Iterator[httpx.Client]:
    """The API of the running cluster, with a key that the admin key has made."""
    config = serve_config()
    config["http_options"] |= {"host": "127.0.0.1", "port": nodes.http}
    config["applications"][0]["args"] = {
        "s3_endpoint": storage.s3_endpoint,
        "s3_access_key": storage.s3_access_key,
        "s3_secret_key": "cluster-secret",
        "models": ["static"],
    }
    (nodes.home / "serve.yaml").write_text(yaml.safe_dump(config))
    admin_key = secrets.token_hex(32)
    (nodes.home / ".labelworks_admin_key").write_text(admin_key + "\n")
    _start_cluster(nodes)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{nodes.http}", headers={"Authorization": f"Bearer {admin_key}"}, timeout=30
    ) as client:
        _wait_until(lambda: _is_healthy(client))
        made = client.post("/v1/keys", json={"account": "acme"})
        assert made.status_code == 201, made.text
        client.headers["Authorization"] = f"Bearer {made.json()['key']}"
        yield client


def test_the_start_commands_bring_up_a_cluster_that_makes_keys_and_runs_a_job(client: httpx.Client) -> None:
    job_id = create_uploaded(client, b'{"text":"good"}\n{"text":"bad"}\n')
    start(client, job_id)
    state = wait_for(client, job_id, has_ended, seconds=120)
    assert (state["status"], state["requests_completed"]) == ("completed", 2), state


def test_a_job_goes_on_when_a_lost_cluster_is_started_again_though_nobody_calls(
    client: httpx.Client, nodes: LocalNodes, storage: Settings
) -> None:
    store = ObjectStore(storage)
    job_id = create_uploaded(client, b'{"text":"good"}\n' * 200_000)
    record = JobPaths("acme", job_id).record
    start(client, job_id)
    nodes.stop()
    assert json.loads(store.get(record))["status"] == "processing"

    _start_cluster(nodes)

    _wait_until(lambda: json.loads(store.get(record))["status"] == "completed")


def _start_cluster(nodes: LocalNodes) -> None:
    _, head, deploy = cluster()["head_start_ray_commands"]
    _, worker = cluster()["worker_start_ray_commands"]
    assert (OPERATIONS / "serve.yaml").name in deploy
    nodes.start_node(head, cpus=0)
    nodes.run(deploy)
    nodes.start_node(worker, cpus=1)


def _is_healthy(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("/health").status_code == 200
    return False


def _wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.3)
