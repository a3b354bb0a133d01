"""What the routes of every call share: the services they work with, whose call it is, the errors they document."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import TypeAdapter, ValidationError

from pipelines.exceptions import NotFound
from pipelines.layout import ACCOUNT_PATTERN
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.accounts import ACCOUNT_NAME
from serve_app.authentication import Caller
from serve_app.call_meter import CallMeter
from serve_app.classifier_repository import ClassifierRepository
from serve_app.exceptions import RequestInvalid, Unauthorized
from serve_app.key_directory import KeyDirectory
from serve_app.partial_results import PartialResultsReader
from serve_app.preview_deployment import PreviewClient
from serve_app.registry_client import RegistryClient
from serve_app.schemas import ErrorBody
from serve_app.strict_json import is_json
from serve_app.task_fields import AcceptedFields
from serve_app.usage import UsageLedger


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes of one API replica work with."""

    settings: Settings
    store: ObjectStore
    keys: KeyDirectory
    registry: RegistryClient
    usage: UsageLedger
    calls: CallMeter
    classifiers: ClassifierRepository
    preview: PreviewClient
    partial_results: PartialResultsReader


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Serving = Annotated[Services, Depends(_services)]
_bearer = HTTPBearer(auto_error=False, description="Your API key")


def _caller(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """Known since the middleware; the bearer scheme is here for the API's description alone."""
    caller: Caller = request.state.caller
    return caller


CurrentCaller = Annotated[Caller, Depends(_caller)]


def _account(caller: CurrentCaller) -> str:
    if caller.account is None:
        raise Unauthorized("The admin key manages keys and reads usage. For this call, send the key of an account.")
    return caller.account


Account = Annotated[str, Depends(_account)]


def managed_account(caller: Caller, named: str | None) -> str:
    """The account whose keys or usage a call is about: its own, or with the admin key the one that it names.

    Raises NotFound for another account's, RequestInvalid for a name that is none.
    """
    if caller.account is None:
        if named is None or not ACCOUNT_PATTERN.fullmatch(named):
            raise RequestInvalid(f"account: with the admin key, name an account; {ACCOUNT_NAME}", field="account")
        return named
    if named not in (None, caller.account):
        raise NotFound(f"This key belongs to account {caller.account}; only the admin key may name another.")
    return caller.account


def require_known_query(request: Request) -> None:
    """Raises RequestInvalid for a query parameter that the call does not have, which may be a misspelt one, or that is
    there twice, of which one would hold and the other pass in silence.
    """
    if not request.query_params:
        return
    known = _query_names(request)
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            takes = f"this call takes {', '.join(known)}" if known else "this call takes none"
            raise RequestInvalid(f"Unknown query parameter {name[:100]!r}; {takes}", field=name[:100])
        if times > 1:
            raise RequestInvalid(f"The query parameter {name} is there {times:,} times; send it once", field=name)


_SAYS_NOTHING: TypeAdapter[AcceptedFields | None] = TypeAdapter(AcceptedFields | None)


async def require_known_fields(request: Request) -> None:
    """Raises RequestInvalid or RequestValidationError for a body of a call that takes none, unless it says nothing."""
    if request.method == "GET" or "requestBody" in _described_call(request):
        return
    body = await request.body()
    if not body:
        return
    sent = json.loads(body) if is_json(request.headers.get("content-type", "")) else body
    for name in _query_names(request):
        if isinstance(sent, dict) and name in sent:
            raise RequestInvalid(f"{name}: is a query parameter of this call, not a field of its body", field=name)
    try:
        _SAYS_NOTHING.validate_python(sent, from_attributes=True)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error


def _query_names(request: Request) -> list[str]:
    return [each["name"] for each in _described_call(request).get("parameters", ()) if each["in"] == "query"]


def _described_call(request: Request) -> dict[str, Any]:
    call: dict[str, Any] = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    return call


IdempotencyHeader = Annotated[
    str | None, Header(min_length=1, max_length=255, description="Ours: makes it safe to repeat this call.")
]


def hashed(text: str) -> str:
    """What is kept of an Idempotency-Key, and of a body that came with it."""
    return hashlib.sha256(text.encode()).hexdigest()


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    meanings = {
        400: "The request cannot be carried out as it stands",
        401: "Missing or unknown API key",
        404: "Nothing of this name in this account",
        408: "The body took too long to arrive",
        409: "The present state does not allow this",
        413: "The body is over 1 MB",
        422: "A field is not valid",
        429: "The key has made too many requests, or its account has too many in flight; see Retry-After",
        500: "An error of the service",
        503: "The service cannot take this call now; see Retry-After",
    }
    every_call = (401, 408, 413, 422, 429, 500, 503)
    return {
        status: {"model": ErrorBody, "description": meanings[status]} for status in sorted({*statuses, *every_call})
    }
