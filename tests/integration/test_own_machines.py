"""What README.md tells operators to type on machines of their own, typed on this one: head, worker, key, job."""

from __future__ import annotations

import json
import platform
from typing import Any

import httpx
import pytest
import yaml

from pipelines.settings import Settings
from tests.integration.local_nodes import LocalNodes
from tests.integration.service import ndjson, run_to_end
from tests.unit.operations.cluster_files import read_yaml
from tests.unit.operations.readme import shell_blocks

EVERYWHERE, HEAD, WORKER, CHECK = shell_blocks("### On machines of your own")
# Each block is typed in a shell that has read the settings.
ENTER = HEAD.splitlines()[0]


@pytest.fixture(scope="module")
def head(nodes: LocalNodes, storage: Settings) -> LocalNodes:
    """The head alone, which answers."""
    assert storage.s3_endpoint
    settings = EVERYWHERE.replace("make install", "make -n install")
    for example, ours in (
        ("my-labelworks-bucket", storage.s3_bucket),
        ("https://s3.example.com", storage.s3_endpoint),
        ("AWS_ACCESS_KEY_ID=…", f"AWS_ACCESS_KEY_ID={storage.s3_access_key}"),
        ("AWS_SECRET_ACCESS_KEY=…", "AWS_SECRET_ACCESS_KEY=cluster-secret"),
    ):
        assert example in settings
        settings = settings.replace(example, ours)
    nodes.run(settings)
    before, start, after = around_start(HEAD)
    nodes.run(before)
    config = read_yaml(nodes.home / "serve.yaml")
    config["http_options"] |= {"host": "127.0.0.1", "port": nodes.http}
    (nodes.home / "serve.yaml").write_text(yaml.safe_dump(config))
    nodes.start_node(start, cpus=0)
    nodes.run(f"{ENTER}\n{after}")
    nodes.wait_until_healthy()
    return nodes


def test_the_settings_hold_a_secret_that_no_other_user_reads(head: LocalNodes) -> None:
    assert (head.home / "labelworks.env").stat().st_mode & 0o777 == 0o600


def test_the_doctor_finds_nothing_to_fix_where_no_worker_has_come_and_says_what_it_could_not_try(
    head: LocalNodes,
) -> None:
    findings = examined(head, "--wait 3")

    assert [finding for finding in findings if finding["ok"] is False] == []
    untried = [finding["check"] for finding in findings if finding["ok"] is None]
    assert untried == ["Ray", "engine minilm", "engine static", "storage on workers"]
    # Both are there to answer previews.
    assert [finding["found"] for finding in findings if finding["check"].startswith("engine") and finding["ok"]] == [
        "classifies on the head, which answers previews"
    ] * 2


def test_a_worker_joins_a_key_is_made_a_job_completes_and_the_doctor_is_content(head: LocalNodes) -> None:
    _, start, _ = around_start(WORKER.replace("HEAD", "127.0.0.1"))
    head.start_node(start, cpus=1)
    make_key, _ = CHECK.splitlines()
    key = head.run(f"{ENTER}\n{make_key}").strip()

    api = httpx.Client(base_url=f"http://127.0.0.1:{head.http}", headers={"Authorization": f"Bearer {key}"}, timeout=30)
    with api:
        state, results = run_to_end(api, ndjson(["good", "bad"]))
    assert (state["status"], len(results.splitlines())) == ("completed", 2), state

    findings = examined(head, "")
    assert [finding for finding in findings if not finding["ok"]] == []
    assert f"storage on node {platform.node()}" in [finding["check"] for finding in findings]


def around_start(block: str) -> tuple[str, str, str]:
    """A block's commands before Ray is started, those that start it, and those after; without comments."""
    lines = [line.partition("  #")[0].rstrip() for line in block.replace("\\\n", "").splitlines()]
    (at,) = (number for number, line in enumerate(lines) if line.startswith("ray start "))
    return "\n".join(lines[:at]), f"{ENTER}\n{lines[at]}", "\n".join(lines[at + 1 :])


def examined(nodes: LocalNodes, options: str) -> list[dict[str, Any]]:
    """What `labelworks doctor` finds, which ends well."""
    _, doctor = CHECK.splitlines()
    # Other tests' clusters may be on this machine too.
    found = nodes.run(f"{ENTER}\n{doctor} --json {options}", RAY_ADDRESS=f"127.0.0.1:{nodes.gcs}")
    findings: list[dict[str, Any]] = json.loads(found)
    return findings
