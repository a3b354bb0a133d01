"""The calls of a job: create, start, poll, download, cancel, delete."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from pipelines.exceptions import Conflict
from pipelines.job_transitions import is_same_start, require_startable
from pipelines.layout import JobPaths, new_job_id
from serve_app.classifier_routes import named_classifier
from serve_app.dependencies import Account, IdempotencyHeader, Serving, error_responses, hashed
from serve_app.exceptions import RequestInvalid
from serve_app.intake import MAX_INPUT_BYTES, inspect_upload
from serve_app.job_repository import IdempotencyKey
from serve_app.request_log import note_job
from serve_app.schemas import (
    BatchCancelled,
    BatchCreated,
    BatchDeleted,
    BatchResults,
    BatchStarted,
    BatchStatus,
    BatchSummary,
    CreateBatch,
    PartialResults,
    StartBatch,
)

_LISTED_JOBS = 20

JobId = Annotated[str, Path(examples=["batch_4f8k2m9x1q7w3e5r"])]

batch = APIRouter(prefix="/v1", tags=["batch"])


@batch.post("/batch", status_code=201, summary="Create a job", responses=error_responses(409))
async def create_batch(
    body: CreateBatch,
    request: Request,
    account: Account,
    services: Serving,
    idempotency_key: IdempotencyHeader = None,
) -> BatchCreated:
    """With an `Idempotency-Key`, a repeated call gives the job that the first one made."""
    key = None
    if idempotency_key is not None:
        key = IdempotencyKey(hashed(idempotency_key), hashed(body.identity()))
    try:
        config = body.config(services.settings.models, await named_classifier(services, account, body.classifier))
    except RequestInvalid:
        # It may have been valid when it came first, with a classifier that was deleted since.
        job = await services.registry.created_before(account, key) if key else None
        if job is None:
            raise
    else:
        job = await services.registry.create(account, new_job_id(), config, key)
    note_job(request, job)
    paths = JobPaths(account, job.job_id)
    form = await asyncio.to_thread(
        services.store.presign_upload,
        paths.input,
        max_bytes=MAX_INPUT_BYTES,
        seconds=services.settings.upload_url_seconds,
    )
    return BatchCreated(job_id=job.job_id, upload_url=form.url, upload_fields=form.fields, input_key=paths.input)


@batch.post("/batch/{job_id}/start", status_code=202, summary="Start a job", responses=error_responses(400, 404, 409))
async def start_batch(
    job_id: JobId,
    request: Request,
    account: Account,
    services: Serving,
    idempotency_key: IdempotencyHeader = None,
    body: StartBatch | None = None,
) -> BatchStarted:
    """A pending or failed job whose file is uploaded. A failed job goes on where it ended.

    With an `Idempotency-Key`, repeating the call that started the job is a 202 again, whatever has become of the job
    since, and starts nothing. To start a failed job again, send another key or none.
    """
    start_key = None if idempotency_key is None else hashed(idempotency_key)
    job = note_job(request, await services.registry.get(account, job_id))
    if not is_same_start(job, start_key):
        require_startable(job)
        found, estimate = await asyncio.to_thread(inspect_upload, services.store, job, services.settings)
        note_job(request, await services.registry.start(account, job.job_id, found, estimate, start_key))
    return BatchStarted(job_id=job.job_id)


@batch.post(
    "/batch/{job_id}/cancel",
    status_code=202,
    summary="Cancel a processing job",
    responses=error_responses(404, 409),
)
async def cancel_batch(job_id: JobId, request: Request, account: Account, services: Serving) -> BatchCancelled:
    """Ours. The job ends as `failed` with the error `cancelled`; started again, it goes on where it was."""
    job = note_job(request, await services.registry.cancel(account, job_id))
    return BatchCancelled(job_id=job.job_id)


@batch.get("/batch", summary="The 20 newest jobs", responses=error_responses())
async def list_batches(account: Account, services: Serving) -> list[BatchSummary]:
    jobs = await services.registry.newest(account, _LISTED_JOBS)
    return [BatchSummary(**job.model_dump(include=set(BatchSummary.model_fields))) for job in jobs]


@batch.get("/batch/{job_id}", summary="A job's state and progress", responses=error_responses(404))
async def retrieve_batch(job_id: JobId, request: Request, account: Account, services: Serving) -> BatchStatus:
    job = note_job(request, await services.registry.get(account, job_id))
    return BatchStatus.of(job, services.settings.price_per_million_tokens_usd)


@batch.get("/batch/{job_id}/results", summary="Where to download the results", responses=error_responses(404, 409))
async def batch_results(
    job_id: JobId,
    request: Request,
    account: Account,
    services: Serving,
    partial: Annotated[
        bool, Query(description="Ours: what is finished so far, in parts, also of a failed job.")
    ] = False,
) -> BatchResults | PartialResults:
    job = note_job(request, await services.registry.get(account, job_id))
    if partial:
        return await services.partial_results.read(job)
    if job.status != "completed":
        raise Conflict(f"Job {job.job_id} is {job.status}; results are there once it is completed.", status=job.status)
    url = await asyncio.to_thread(
        services.store.presign_download,
        JobPaths(account, job.job_id).results,
        filename=f"{job.job_id}.ndjson",
        seconds=services.settings.download_url_seconds,
    )
    return BatchResults(job_id=job.job_id, download_url=url)


@batch.delete("/batch/{job_id}", summary="Delete a job and its files", responses=error_responses(404, 409))
async def delete_batch(job_id: JobId, account: Account, services: Serving) -> BatchDeleted:
    await services.registry.delete(account, job_id)
    return BatchDeleted(job_id=job_id)
