"""The one place that turns exceptions into HTTP errors."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from pipelines.exceptions import BadRequest, Conflict, LabelworksError, NotFound, StorageUnavailable, Unavailable
from serve_app.exceptions import (
    BodyTooLarge,
    BodyTooSlow,
    KeyUncertain,
    RecordUnreadable,
    RequestInvalid,
    TooManyRequests,
    Unauthorized,
)
from serve_app.schemas import ErrorBody
from serve_app.strict_json import is_json
from serve_app.task_fields import FieldError

logger = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS = "5"
_STATUS: tuple[tuple[type[LabelworksError], HTTPStatus], ...] = (
    (BadRequest, HTTPStatus.BAD_REQUEST),
    (Unauthorized, HTTPStatus.UNAUTHORIZED),
    (NotFound, HTTPStatus.NOT_FOUND),
    (BodyTooSlow, HTTPStatus.REQUEST_TIMEOUT),
    (Conflict, HTTPStatus.CONFLICT),
    (BodyTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (RequestInvalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (TooManyRequests, HTTPStatus.TOO_MANY_REQUESTS),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    # No 503, which asks for the call again: that would make a second key.
    (KeyUncertain, HTTPStatus.INTERNAL_SERVER_ERROR),
    (RecordUnreadable, HTTPStatus.INTERNAL_SERVER_ERROR),
)
_HTTP_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def error_response(error: Exception) -> JSONResponse:
    """The answer for an exception; one that is not meant for clients is a 500 that tells nothing of it."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), None)
    if status is None or not isinstance(error, LabelworksError):
        return _envelope(HTTPStatus.INTERNAL_SERVER_ERROR, LabelworksError.code, _INTERNAL_MESSAGE, {}, {})
    if isinstance(error, StorageUnavailable):
        # Clients are not told the reason.
        logger.warning("%s", error)
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.REQUEST_TIMEOUT:
        # What is still to come of the body is not waited for.
        headers["Connection"] = "close"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_AFTER_SECONDS
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.details["retry_after"])
    return _envelope(status, error.code, error.message, error.details, headers)


def install_error_handlers(app: FastAPI) -> None:
    """Give the errors that are meant for clients the contract's shape; UnexpectedErrorMiddleware does so for others."""

    async def ours(_: Request, error: Exception) -> JSONResponse:
        return error_response(error)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        found = error.errors()[0] if isinstance(error, RequestValidationError) else {}
        if found.get("loc") == ("body",) and not is_json(request.headers.get("content-type", "")):
            return error_response(
                RequestInvalid(
                    "The body must be JSON, sent with the header Content-Type: application/json", field="body"
                )
            )
        return error_response(_request_invalid(found))

    async def http(request: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 500
        message = str(error.detail) if isinstance(error, HTTPException) else ""
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        called = f"{request.method} {request.url.path[:100]!r}"
        if status == HTTPStatus.NOT_FOUND:
            message = f"There is no call {called}; the calls are listed at /docs"
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            message = f"There is no call {called}; the path takes other methods, which are listed at /docs"
            # The router names the methods of one route only.
            headers["Allow"] = ", ".join(_methods(request))
        return _envelope(status, _HTTP_CODES.get(status, "BAD_REQUEST"), message, {}, headers)

    for kind, _ in _STATUS:
        app.add_exception_handler(kind, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


_INTERNAL_MESSAGE = "Something went wrong inside the service. Quote the X-Request-ID of this answer to its operator."


def _methods(request: Request) -> list[str]:
    """The methods that the request's path takes."""
    return [
        method
        for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


def _envelope(status: int, code: str, message: str, details: dict[str, Any], headers: dict[str, str]) -> JSONResponse:
    body = ErrorBody(error=code.lower().replace("_", "-"), code=code, message=message, details=details, detail=message)
    return JSONResponse(body.model_dump(), status_code=status, headers=headers)


def _request_invalid(found: dict[str, Any]) -> RequestInvalid:
    """One sentence for the first thing that is wrong, naming the field, the limit and the value seen."""
    cause = found.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        return RequestInvalid(str(cause), field=cause.field)
    path = [str(part) for part in found.get("loc", ())[1:]]
    field = ".".join(path) or "body"
    if found.get("type") == "extra_forbidden":
        return RequestInvalid(f"Unknown field {field[:100]!r}", field=field[:100])
    # Of a field that is not there the input is all that is.
    seen = "" if found.get("type") == "missing" else _seen(found.get("input"))
    message = str(cause if isinstance(cause, ValueError) else found.get("msg", "is not valid"))
    return RequestInvalid(f"{field[:200]}: {message}{seen}", field=field[:200])


def _seen(value: Any) -> str:
    match value:
        case None:
            return ", not null"
        case bool() | int() | float():
            return f", not {str(value)[:50]}"
        case str():
            shown = value.encode("utf-8", "replace").decode()
            return f"; seen: {shown[:50]!r} ({len(value):,} characters)"
        case list() | dict():
            return f"; seen: {len(value):,} entries"
        case _:
            return ""
