"""What has outlived its time is removed without a trace; what is still in use is not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.layout import IDEMPOTENCY_PREFIX, INDEX_PREFIX, JOBS_PREFIX
from tests.chaos.bucket import uploads_begun
from tests.chaos.conftest import CHAOS_SETTINGS
from tests.chaos.disturbed_job import DisturbedJob, Undisturbed
from tests.chaos.journal import Journal
from tests.chaos.processes import wait_until
from tests.integration.service import RunningStack, bucket_of, create_job, create_uploaded, ndjson

# 60 seconds for jobs, 6 for what no job speaks for.
SETTINGS = CHAOS_SETTINGS | {
    "LABELWORKS_JOB_RETENTION_DAYS": str(60 / 86400),
    "LABELWORKS_PENDING_RETENTION_HOURS": str(6 / 3600),
    "LABELWORKS_SWEEP_SECONDS": "1",
}


@pytest.fixture(scope="module")
def stack(undisturbed: Undisturbed, stack_folder: Path, journal: Journal) -> Iterator[RunningStack]:
    with RunningStack.start(stack_folder, **SETTINGS, **journal.environment()) as running:
        yield running


def test_a_deleted_job_leaves_no_object_behind(stack: RunningStack) -> None:
    job = DisturbedJob(stack, "deleter", ndjson(["one text", "another text"]))
    assert job.end()["status"] == "completed"
    assert {listed.key for listed in job.bucket.list(job.paths.prefix)} >= {job.paths.input, job.paths.results}
    with job.client() as client:
        assert client.delete(f"/v1/batch/{job.job_id}").status_code == 200
    assert list(job.bucket.list(job.paths.prefix)) == []
    assert list(job.bucket.list(f"{INDEX_PREFIX}deleter/")) == []


def test_everything_that_has_expired_is_swept_but_nothing_of_a_job_that_runs(
    stack: RunningStack, data: bytes, undisturbed: Undisturbed
) -> None:
    bucket = bucket_of(stack.folder)
    with stack.client() as client:
        without_upload = create_job(client)["job_id"]
        with_upload = create_uploaded(client, b'{"text": "never started"}\n')
        keyed = client.post("/v1/batch", json={"labels": ["a", "b"]}, headers={"Idempotency-Key": uuid.uuid4().hex})
        assert keyed.status_code == 201
    forgotten = f"{JOBS_PREFIX}default/batch_{'0' * 16}/"
    bucket.put(f"{forgotten}shards/00000.ndjson", b"{}\n")
    bucket.begin_multipart(f"{forgotten}results.ndjson").put_part(1, b"x" * 1000)
    assert uploads_begun(bucket, f"{forgotten}results.ndjson") == 1
    running = DisturbedJob(stack, "runs-on", data)

    def gone(job_id: str) -> bool:
        with stack.client() as client:
            return client.get(f"/v1/batch/{job_id}").status_code == 404

    wait_until(lambda: gone(without_upload), "the job without upload is gone", 60)
    assert not gone(with_upload)
    wait_until(lambda: not list(bucket.list(forgotten)), "orphaned objects are gone", 60)
    wait_until(lambda: not uploads_begun(bucket, f"{forgotten}results.ndjson"), "stray uploads are gone", 60)
    wait_until(lambda: not list(bucket.list(IDEMPOTENCY_PREFIX)), "idempotency keys are gone", 60)
    running.require_whole(undisturbed, {})
    for prefix in (JOBS_PREFIX, INDEX_PREFIX):
        wait_until(lambda prefix=prefix: not list(bucket.list(prefix)), f"nothing is left in {prefix}", 180)  # type: ignore[misc]
    assert gone(with_upload)
