"""`labelworks doctor` on the running stack."""

from __future__ import annotations

import json
import platform

from pipelines.object_store import ObjectStore
from tests.integration.service import RunningStack, bucket_of, doctor
from tests.integration.storage.conftest import bucket_of_its_own, refuse, running_moto


def test_a_healthy_stack_needs_nothing_fixed(stack: RunningStack) -> None:
    examined = doctor(stack)

    findings = {finding["check"]: finding for finding in json.loads(examined.stdout)}
    assert [finding for finding in findings.values() if not finding["ok"]] == []
    assert {"bucket", "client's links", "Ray", "job registry", "engine minilm", "engine static"} <= findings.keys()
    assert {f"storage on node {platform.node()}", f"clock of node {platform.node()}"} <= findings.keys()
    assert examined.returncode == 0
    assert list(bucket_of(stack.folder).list("batch/doctor/")) == []


def test_a_ray_that_does_not_answer_is_said_at_once_with_exit_code_1(stack: RunningStack) -> None:
    examined = doctor(stack, "--ray-address", "127.0.0.1:9")

    (finding,) = [finding for finding in json.loads(examined.stdout) if not finding["ok"]]
    assert finding["check"] == "Ray"
    assert "127.0.0.1:9" in finding["found"]
    assert examined.returncode == 1


def test_a_right_that_only_the_workers_lack_is_the_only_thing_to_fix(stack: RunningStack) -> None:
    with running_moto() as server:
        bucket = bucket_of_its_own(server)
        refuse(bucket, "s3:PutObject", "batch/*/shards/*")

        examined = doctor(
            stack,
            LABELWORKS_S3_ENDPOINT=server.endpoint,
            LABELWORKS_S3_BUCKET=bucket.s3_bucket,
            LABELWORKS_S3_ACCESS_KEY=server.access_key,
            LABELWORKS_S3_SECRET_KEY=server.secret_key,
            LABELWORKS_MODELS='["static"]',
        )

        left = list(ObjectStore(bucket).list("batch/"))
    (finding,) = [finding for finding in json.loads(examined.stdout) if not finding["ok"]]
    assert finding["check"] == f"storage on node {platform.node()}"
    assert "writing a shard" in finding["found"]
    assert "serve_app/operations/worker-policy.json" in finding["advice"]
    assert examined.returncode == 1
    assert left == []
