"""The HTTP API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI, Request

from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.account_routes import keys_and_usage
from serve_app.authentication import AuthenticationMiddleware, Authenticator
from serve_app.batch_routes import batch
from serve_app.bodies import BodyLimitMiddleware, StrictJsonMiddleware
from serve_app.call_meter import CallMeter
from serve_app.classifier_repository import ClassifierRepository
from serve_app.classifier_routes import classifiers
from serve_app.dependencies import Services, require_known_fields, require_known_query
from serve_app.documentation import documented_app
from serve_app.errors import install_error_handlers
from serve_app.key_directory import KeyDirectory
from serve_app.line_schemas import describe_lines
from serve_app.load_limits import CallerLimitMiddleware, LoadLimitMiddleware
from serve_app.partial_results import PartialResultsReader
from serve_app.preview_deployment import PreviewClient
from serve_app.preview_routes import preview
from serve_app.rate_limit import RequestLimit
from serve_app.registry_client import RegistryClient
from serve_app.request_log import HEALTH_PATH, RequestLogMiddleware, UnexpectedErrorMiddleware
from serve_app.schemas import Health
from serve_app.usage import UsageLedger

service = APIRouter(tags=["service"])


# Load balancers ask with HEAD too; described once.
@service.head(HEALTH_PATH, include_in_schema=False)
@service.get(HEALTH_PATH, summary="Whether the API answers")
async def health(request: Request) -> Health:
    return Health(version=request.app.version)


@asynccontextmanager
async def _at_work(calls: CallMeter, registry: RegistryClient) -> AsyncIterator[None]:
    async with calls.flushing(), registry.started():
        yield


def build_app(settings: Settings) -> FastAPI:
    """The ASGI application of one API replica. Stateless but for a short memory of API keys."""
    store = ObjectStore(settings, retry_seconds=settings.s3_api_retry_seconds)
    keys = KeyDirectory(store, settings.key_cache_seconds)
    usage = UsageLedger(store)
    calls = CallMeter(usage)
    registry = RegistryClient(settings.without_admin_key)
    app = documented_app(lifespan=lambda _: _at_work(calls, registry))
    app.state.services = Services(
        settings=settings,
        store=store,
        keys=keys,
        registry=registry,
        classifiers=ClassifierRepository(store),
        usage=usage,
        calls=calls,
        preview=PreviewClient(settings),
        partial_results=PartialResultsReader(store, settings),
    )
    install_error_handlers(app)
    # The last is the first that a request meets. Whoever has no key, or is slow to send, takes no place of the others.
    app.add_middleware(StrictJsonMiddleware)
    app.add_middleware(LoadLimitMiddleware, limit=settings.requests_in_flight)
    app.add_middleware(BodyLimitMiddleware, seconds=settings.body_seconds)
    app.add_middleware(CallerLimitMiddleware, limit=settings.requests_in_flight_per_account)
    app.add_middleware(
        AuthenticationMiddleware,
        authenticator=Authenticator(keys, settings.admin_key),
        limit=RequestLimit(settings.requests_per_minute, settings.api_replicas)
        if settings.requests_per_minute
        else None,
    )
    app.add_middleware(UnexpectedErrorMiddleware)
    app.add_middleware(RequestLogMiddleware)
    strictness = [Depends(require_known_query), Depends(require_known_fields)]
    for calls_of_accounts in (batch, keys_and_usage, classifiers, preview):
        app.include_router(calls_of_accounts, dependencies=strictness)
    app.include_router(service)
    describe_lines(app)
    return app
