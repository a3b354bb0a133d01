"""The HTTP API."""

from __future__ import annotations

import asyncio
import secrets
import string
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pipelines.exceptions import Conflict, Unauthorized
from pipelines.job import require_startable
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.accounts import KeyDirectory
from serve_app.errors import install_error_handlers
from serve_app.intake import MAX_INPUT_BYTES, inspect_upload
from serve_app.middleware import BodyLimitMiddleware, RequestIdMiddleware
from serve_app.registry_client import RegistryClient
from serve_app.schemas import (
    BatchCreated,
    BatchDeleted,
    BatchResults,
    BatchStarted,
    BatchStatus,
    BatchSummary,
    CreateBatch,
    ErrorBody,
    Health,
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


def build_app(settings: Settings) -> FastAPI:
    """The ASGI application of one API replica. Stateless but for a short memory of API keys."""
    app = FastAPI(title="Labelworks", version=version("labelworks"), description=_DESCRIPTION)
    install_error_handlers(app)
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(RequestIdMiddleware)
    app.include_router(_batch_routes(settings))

    @app.get("/health", tags=["service"], summary="Whether the API answers")
    async def health() -> Health:
        return Health(version=app.version)

    return app


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
    return {status: {"model": ErrorBody, "description": meanings[status]} for status in (*statuses, 401, 413, 500, 503)}


def _batch_routes(settings: Settings) -> APIRouter:
    store = ObjectStore(settings, retry_seconds=settings.s3_api_retry_seconds)
    keys = KeyDirectory(store, settings.key_cache_seconds)
    registry = RegistryClient(settings)
    bearer = HTTPBearer(auto_error=False, description="Your API key")

    async def authenticate(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> str:
        if credentials is None:
            raise Unauthorized
        return await asyncio.to_thread(keys.account_of, credentials.credentials)

    Account = Annotated[str, Depends(authenticate)]  # noqa: N806 - a type
    JobId = Annotated[str, Path(examples=["batch_4f8k2m9x1q7w3e5r"])]  # noqa: N806 - a type
    router = APIRouter(prefix="/v1", tags=["batch"])

    @router.post("/batch", status_code=201, summary="Create a job", responses=_errors(422))
    async def create(request: CreateBatch, account: Account) -> BatchCreated:
        job = await registry.create(account, _new_job_id(), request.config())
        paths = JobPaths(account, job.job_id)
        form = await asyncio.to_thread(
            store.presign_upload, paths.input, max_bytes=MAX_INPUT_BYTES, seconds=settings.upload_url_seconds
        )
        return BatchCreated(job_id=job.job_id, upload_url=form.url, upload_fields=form.fields, input_key=paths.input)

    @router.post("/batch/{job_id}/start", status_code=202, summary="Start a job", responses=_errors(400, 404, 409))
    async def start(job_id: JobId, account: Account) -> BatchStarted:
        """A pending or failed job whose file is uploaded. A failed job goes on where it ended."""
        job = await registry.get(account, job_id)
        require_startable(job)
        found, estimate = await asyncio.to_thread(inspect_upload, store, JobPaths(account, job.job_id), settings.model)
        await registry.start(account, job.job_id, found, estimate)
        return BatchStarted(job_id=job.job_id)

    @router.get("/batch", summary="The 20 newest jobs", responses=_errors())
    async def newest(account: Account) -> list[BatchSummary]:
        jobs = await registry.newest(account, _LISTED_JOBS)
        return [BatchSummary(**job.model_dump(include=set(BatchSummary.model_fields))) for job in jobs]

    @router.get("/batch/{job_id}", summary="A job's state and progress", responses=_errors(404))
    async def status(job_id: JobId, account: Account) -> BatchStatus:
        return BatchStatus.of(await registry.get(account, job_id), settings.price_per_million_tokens_usd)

    @router.get("/batch/{job_id}/results", summary="Where to download the results", responses=_errors(404, 409))
    async def results(job_id: JobId, account: Account) -> BatchResults:
        job = await registry.get(account, job_id)
        if job.status != "completed":
            raise Conflict(
                f"Job {job.job_id} is {job.status}; results are there once it is completed.", status=job.status
            )
        url = await asyncio.to_thread(
            store.presign_download,
            JobPaths(account, job.job_id).results,
            filename=f"{job.job_id}.ndjson",
            seconds=settings.download_url_seconds,
        )
        return BatchResults(job_id=job.job_id, download_url=url)

    @router.delete("/batch/{job_id}", summary="Delete a job and its files", responses=_errors(404, 409))
    async def delete(job_id: JobId, account: Account) -> BatchDeleted:
        await registry.delete(account, job_id)
        return BatchDeleted(job_id=job_id)

    return router


def _new_job_id() -> str:
    return "batch_" + "".join(secrets.choice(_JOB_ID_ALPHABET) for _ in range(16))
