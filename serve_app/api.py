"""The HTTP API."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import string
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pipelines.exceptions import Conflict, Unauthorized
from pipelines.job import is_same_start, require_startable
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.accounts import KeyDirectory
from serve_app.errors import install_error_handlers
from serve_app.intake import MAX_INPUT_BYTES, inspect_upload
from serve_app.job_repository import IdempotencyKey
from serve_app.middleware import BodyLimitMiddleware, LoadLimitMiddleware, UnexpectedErrorMiddleware
from serve_app.partial_results import partial_results
from serve_app.registry_client import RegistryClient
from serve_app.schemas import (
    BatchCancelled,
    BatchCreated,
    BatchDeleted,
    BatchResults,
    BatchStarted,
    BatchStatus,
    BatchSummary,
    CreateBatch,
    ErrorBody,
    Health,
    PartialResults,
)

_LISTED_JOBS = 20
_JOB_ID_ALPHABET = string.ascii_lowercase + string.digits

_DESCRIPTION = """
Classify millions of texts in one job:

1. `POST /v1/batch` with your labels: you get a `job_id` and a form for the upload.
2. POST your NDJSON file (one `{"text": "…"}` a line, up to 5 GB) to `upload_url`: every entry of `upload_fields`,
   then `file` last.
3. `POST /v1/batch/{job_id}/start`.
4. Poll `GET /v1/batch/{job_id}` until `status` is `completed` or `failed`.
5. `GET /v1/batch/{job_id}/results` and download `download_url`: line N answers item N.

A line that cannot be classified never fails the job: its result line is
`{"error": {"code": "invalid_json", "message": "…"}}`.
"""


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes of one API replica work with."""

    settings: Settings
    store: ObjectStore
    keys: KeyDirectory
    registry: RegistryClient


def build_app(settings: Settings) -> FastAPI:
    """The ASGI application of one API replica. Stateless but for a short memory of API keys."""
    store = ObjectStore(settings, retry_seconds=settings.s3_api_retry_seconds)
    app = FastAPI(title="Labelworks", version=version("labelworks"), description=_DESCRIPTION)
    app.state.services = Services(
        settings, store, KeyDirectory(store, settings.key_cache_seconds), RegistryClient(settings)
    )
    install_error_handlers(app)
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(UnexpectedErrorMiddleware)
    app.add_middleware(LoadLimitMiddleware, limit=settings.requests_in_flight)
    app.include_router(batch)
    app.include_router(service)
    return app


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Serving = Annotated[Services, Depends(_services)]
_bearer = HTTPBearer(auto_error=False, description="Your API key")


async def _authenticate(
    services: Serving, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> str:
    if credentials is None:
        raise Unauthorized
    return await asyncio.to_thread(services.keys.account_of, credentials.credentials)


Account = Annotated[str, Depends(_authenticate)]
IdempotencyHeader = Annotated[
    str | None, Header(min_length=1, max_length=255, description="Ours: makes it safe to repeat this call.")
]
JobId = Annotated[str, Path(examples=["batch_4f8k2m9x1q7w3e5r"])]


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    meanings = {
        400: "The request cannot be carried out as it stands",
        401: "Missing or unknown API key",
        404: "No such job in this account",
        409: "The job's state does not allow this",
        413: "The body is over 1 MB",
        422: "A field is not valid",
        500: "An error of the service",
        503: "The service cannot take this call now; see Retry-After",
    }
    return {
        status: {"model": ErrorBody, "description": meanings[status]} for status in (*statuses, 401, 413, 422, 500, 503)
    }


batch = APIRouter(prefix="/v1", tags=["batch"])
service = APIRouter(tags=["service"])


@service.get("/health", summary="Whether the API answers")
async def health(request: Request) -> Health:
    return Health(version=request.app.version)


@batch.post("/batch", status_code=201, summary="Create a job", responses=_errors(409))
async def create_batch(
    body: CreateBatch, account: Account, services: Serving, idempotency_key: IdempotencyHeader = None
) -> BatchCreated:
    """With an `Idempotency-Key`, a repeated call gives the job that the first one made."""
    key = None
    if idempotency_key is not None:
        key = IdempotencyKey(_hash(idempotency_key), _hash(body.model_dump_json(exclude={"priority", "cache"})))
    config = body.config(services.settings.models)
    job = await services.registry.create(account, _new_job_id(), config, key)
    paths = JobPaths(account, job.job_id)
    form = await asyncio.to_thread(
        services.store.presign_upload,
        paths.input,
        max_bytes=MAX_INPUT_BYTES,
        seconds=services.settings.upload_url_seconds,
    )
    return BatchCreated(job_id=job.job_id, upload_url=form.url, upload_fields=form.fields, input_key=paths.input)


@batch.post("/batch/{job_id}/start", status_code=202, summary="Start a job", responses=_errors(400, 404, 409))
async def start_batch(
    job_id: JobId, account: Account, services: Serving, idempotency_key: IdempotencyHeader = None
) -> BatchStarted:
    """A pending or failed job whose file is uploaded. A failed job goes on where it ended.

    With an `Idempotency-Key`, repeating the call that started the job is a 202 again instead of a 409.
    """
    start_key = None if idempotency_key is None else _hash(idempotency_key)
    job = await services.registry.get(account, job_id)
    if not is_same_start(job, start_key):
        require_startable(job)
        found, estimate = await asyncio.to_thread(
            inspect_upload, services.store, JobPaths(account, job.job_id), services.settings, job.config.model
        )
        await services.registry.start(account, job.job_id, found, estimate, start_key)
    return BatchStarted(job_id=job.job_id)


@batch.post(
    "/batch/{job_id}/cancel", status_code=202, summary="Cancel a processing job", responses=_errors(404, 409, 422)
)
async def cancel_batch(job_id: JobId, account: Account, services: Serving) -> BatchCancelled:
    """Ours. The job ends as `failed` with the error `cancelled`; started again, it goes on where it was."""
    job = await services.registry.cancel(account, job_id)
    return BatchCancelled(job_id=job.job_id)


@batch.get("/batch", summary="The 20 newest jobs", responses=_errors())
async def list_batches(account: Account, services: Serving) -> list[BatchSummary]:
    jobs = await services.registry.newest(account, _LISTED_JOBS)
    return [BatchSummary(**job.model_dump(include=set(BatchSummary.model_fields))) for job in jobs]


@batch.get("/batch/{job_id}", summary="A job's state and progress", responses=_errors(404, 422))
async def retrieve_batch(job_id: JobId, account: Account, services: Serving) -> BatchStatus:
    job = await services.registry.get(account, job_id)
    return BatchStatus.of(job, services.settings.price_per_million_tokens_usd)


@batch.get("/batch/{job_id}/results", summary="Where to download the results", responses=_errors(404, 409))
async def batch_results(
    job_id: JobId,
    account: Account,
    services: Serving,
    partial: Annotated[
        bool, Query(description="Ours: what is finished so far, in parts, also of a failed job.")
    ] = False,
) -> BatchResults | PartialResults:
    job = await services.registry.get(account, job_id)
    if partial:
        return await asyncio.to_thread(partial_results, services.store, job, services.settings)
    if job.status != "completed":
        raise Conflict(f"Job {job.job_id} is {job.status}; results are there once it is completed.", status=job.status)
    url = await asyncio.to_thread(
        services.store.presign_download,
        JobPaths(account, job.job_id).results,
        filename=f"{job.job_id}.ndjson",
        seconds=services.settings.download_url_seconds,
    )
    return BatchResults(job_id=job.job_id, download_url=url)


@batch.delete("/batch/{job_id}", summary="Delete a job and its files", responses=_errors(404, 409, 422))
async def delete_batch(job_id: JobId, account: Account, services: Serving) -> BatchDeleted:
    await services.registry.delete(account, job_id)
    return BatchDeleted(job_id=job_id)


def _new_job_id() -> str:
    return "batch_" + "".join(secrets.choice(_JOB_ID_ALPHABET) for _ in range(16))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
