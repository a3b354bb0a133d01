"""The commands of cluster.yaml, run on this machine: a head, a worker, Serve from its config file, a job."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import httpx
import pytest
import yaml

from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from tests.integration.local_nodes import LocalNodes, wait_until
from tests.integration.service import create_uploaded, has_ended, start, wait_for
from tests.unit.operations.cluster_files import OPERATIONS, cluster, serve_config


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
        nodes.wait_until_healthy()
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

    wait_until(lambda: json.loads(store.get(record))["status"] == "completed")


def _start_cluster(nodes: LocalNodes) -> None:
    _, head, deploy = cluster()["head_start_ray_commands"]
    _, worker = cluster()["worker_start_ray_commands"]
    assert (OPERATIONS / "serve.yaml").name in deploy
    nodes.start_node(head, cpus=0)
    nodes.run(deploy.replace("~/labelworks/serve_app/operations", str(nodes.home)))
    nodes.start_node(worker, cpus=1)
