"""What the routes of every call share: the services they work with, whose call it is, the errors they document."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pipelines.exceptions import Unauthorized
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.accounts import KeyDirectory
from serve_app.classifier_repository import ClassifierRepository
from serve_app.registry_client import RegistryClient
from serve_app.schemas import ErrorBody


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes of one API replica work with."""

    settings: Settings
    store: ObjectStore
    keys: KeyDirectory
    registry: RegistryClient
    classifiers: ClassifierRepository


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


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    meanings = {
        400: "The request cannot be carried out as it stands",
        401: "Missing or unknown API key",
        404: "Nothing of this name in this account",
        409: "The present state does not allow this",
        413: "The body is over 1 MB",
        422: "A field is not valid",
        500: "An error of the service",
        503: "The service cannot take this call now; see Retry-After",
    }
    return {
        status: {"model": ErrorBody, "description": meanings[status]} for status in (*statuses, 401, 413, 422, 500, 503)
    }
