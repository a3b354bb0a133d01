"""The client overwrites its file while the job reads it: no result file answers two files."""

from __future__ import annotations

from tests.chaos.disturbed_job import DisturbedJob, Undisturbed, job_data
from tests.integration.service import RunningStack

# So large an input is not kept from the start, but read range by range.
PADDING = 8_000


def test_an_overwritten_file_fails_the_job_with_a_reason_and_the_next_start_answers_the_new_one(
    stack: RunningStack, data: bytes, undisturbed: Undisturbed
) -> None:
    job = DisturbedJob(stack, "overwritten", job_data(PADDING))
    job.wait_for_shards(3)
    job.bucket.put(job.paths.input, data)
    failed = job.end()
    assert failed["status"] == "failed"
    assert "overwritten" in failed["error"]
    job.require_no_actor_left()
    with job.client() as client:
        assert client.post(f"/v1/batch/{job.job_id}/start").status_code == 202
    job.require_whole(undisturbed, {})
