"""The rights that the nodes' instance profiles give."""

import re
from fnmatch import fnmatch
from typing import Any

import pytest

from pipelines.layout import PROBES_PREFIX, REGISTRY_EPOCH_KEY, JobPaths
from tests.unit.operations.cluster_files import ROOT, cluster, policy, serve_config

BUCKET = serve_config()["applications"][0]["args"]["s3_bucket"]
JOB = JobPaths("acme", "batch_0123456789abcdef")
ACTION_OF = {
    "put_object": "s3:PutObject",
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "head_bucket": "s3:ListBucket",
    "list_objects_v2": "s3:ListBucket",
    "delete_object": "s3:DeleteObject",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "create_multipart_upload": "s3:PutObject",
    "upload_part": "s3:PutObject",
    "upload_part_copy": "s3:PutObject",
    "complete_multipart_upload": "s3:PutObject",
    "abort_multipart_upload": "s3:AbortMultipartUpload",
}
"""Which right each call of S3 needs, by AWS's reference of its API."""
ONLY_EMBEDDED = {"create_bucket"}
"""On AWS the bucket is made beforehand."""


def is_allowed(statements: list[dict[str, Any]], action: str, key: str) -> bool:
    resource = f"arn:aws:s3:::{BUCKET}/{key}" if key else f"arn:aws:s3:::{BUCKET}"
    return any(
        action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])
        and fnmatch(resource, each["Resource"])
        for each in statements
    )


def test_the_head_may_make_every_call_that_the_object_store_makes() -> None:
    files = (ROOT / "pipelines" / "object_store").glob("*.py")
    calls = {call for each in files for call in re.findall(r"\.client\.(?:get_paginator\(\")?(\w+)", each.read_text())}

    assert calls >= {"put_object", "get_object", "upload_part_copy", "list_multipart_uploads"}
    for call in calls - ONLY_EMBEDDED:
        action = ACTION_OF[call]
        key = "" if action in ("s3:ListBucket", "s3:ListBucketMultipartUploads") else JOB.input
        assert is_allowed(policy("head"), action, key), call


@pytest.mark.parametrize("key", [JOB.record, REGISTRY_EPOCH_KEY, PROBES_PREFIX + "0"])
def test_the_head_may_write_on_the_condition_that_an_object_has_not_changed(key: str) -> None:
    # S3 asks for both rights where a PutObject has If-Match.
    assert is_allowed(policy("head"), "s3:PutObject", key)
    assert is_allowed(policy("head"), "s3:GetObject", key)


def test_a_worker_reads_inputs_and_writes_shards_and_nothing_else() -> None:
    worker = policy("worker")

    assert is_allowed(worker, "s3:GetObject", JOB.input)
    assert is_allowed(worker, "s3:PutObject", JOB.shard(3))
    assert not is_allowed(worker, "s3:PutObject", JOB.record)
    assert not is_allowed(worker, "s3:GetObject", JOB.record)
    assert not is_allowed(worker, "s3:GetObject", "accounts/keys/0")
    assert {each["Action"] for each in worker} == {"s3:GetObject", "s3:PutObject"}


@pytest.mark.parametrize("name", ["head", "worker"])
def test_no_policy_gives_rights_on_all_buckets_or_all_of_a_service(name: str) -> None:
    for statement in policy(name):
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        assert not any(action.endswith(":*") or action == "*" for action in actions)
        if any(action.startswith("s3:") for action in actions):
            assert statement["Resource"].startswith(f"arn:aws:s3:::{BUCKET}")


def test_the_head_may_end_only_nodes_of_this_cluster_and_make_no_other_one_of_them() -> None:
    of_this_cluster = {"aws:ResourceTag/ray-cluster-name": cluster()["cluster_name"]}
    ending = next(each for each in policy("head") if each["Sid"] == "EndWorkers")
    tagging = [each["Condition"]["StringEquals"] for each in policy("head") if each["Action"] == "ec2:CreateTags"]

    assert ending["Condition"]["StringEquals"] == of_this_cluster
    # A tag on a machine that is there already would be a right to end it.
    assert tagging == [{"ec2:CreateAction": "RunInstances"}, of_this_cluster]
    assert not any("ec2:CreateTags" in each["Action"] for each in policy("head") if isinstance(each["Action"], list))
