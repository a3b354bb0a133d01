"""What /docs and /openapi.json tell beside the routes themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from string import Template
from typing import get_args

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from pipelines.ndjson import ErrorCode
from serve_app.request_log import MAX_REQUEST_ID_CHARACTERS

_DESCRIPTION = Template("""
Classify millions of texts in one job:

1. `POST /v1/batch` with your labels: you get a `job_id` and a form for the upload.
2. POST your NDJSON file (one `{"text": "…"}` a line, up to 5 GB) to `upload_url`: every entry of `upload_fields`,
   then `file` last.
3. `POST /v1/batch/{job_id}/start`.
4. Poll `GET /v1/batch/{job_id}` until `status` is `completed` or `failed`.
5. `GET /v1/batch/{job_id}/results` and download `download_url`: line N answers item N.

A job is removed with its files after its `expires_at`, by default 30 days after it ended. Links and upload forms hold
for an hour by default.

## Lines

An input line is a JSON object with a string `text`. An `id` or `custom_id` (string or number) is repeated as the first
field of its result line. The schemas `InputLine` and `ResultLine` describe them. Result lines, by `mode`:

- `single`: `{"label": "billing", "confidence": 0.9412, "tokens": 14}`
- `multi`: `{"labels": [{"label": "billing", "confidence": 0.9412}], "tokens": 14}`, best first, `[]` when none passes
- a line that cannot be classified, which never fails the job: `{"error": {"code": "invalid_json", "message": "…"}}`.
  Codes: $codes.

## Keys and limits

Every call under `/v1` carries `Authorization: Bearer <api key>`. A key may make so many requests a minute: each answer
to a valid key has `X-RateLimit-Limit`, `X-RateLimit-Remaining` (requests left now) and `X-RateLimit-Reset` (seconds
until all are there again); over the limit it is a 429 with `Retry-After` in seconds.

## Additions

What is marked "Ours" is not part of the hosted API that this service takes the place of: its clients need not know it.

## Errors

Every error has one shape: `{"error", "code", "message", "details", "detail"}`. Every answer has an `X-Request-ID`:
the call's own where it sent one of 1 to $id_characters printable ASCII characters.
A field or a query parameter that a call does not know is a 422.

A 503 asks for the call again. Where its `details` have `"uncertain": true`, the first one may have been carried out all
the same: a 404 to a deletion that is repeated then means that it is done.
""").substitute(codes=", ".join(f"`{code}`" for code in get_args(ErrorCode)), id_characters=MAX_REQUEST_ID_CHARACTERS)


def documented_app(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]) -> FastAPI:
    """An application without routes whose /docs needs no other server than this one."""
    app: FastAPI = FastAPIOffline(
        title="Labelworks",
        version=version("labelworks"),
        description=_DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    return app
