"""For tests of the registry: no Ray, and a bucket of the test's own."""

from __future__ import annotations

import secrets

import pytest

from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app import registry as registry_module
from serve_app import scheduler as scheduler_module
from serve_app.spare_drivers import DriverProcess
from tests.integration.storage.conftest import S3Server
from tests.integration.storage.registry.running_registry import SLOTS, Drivers


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "SpareDrivers", Drivers)
    monkeypatch.setattr(scheduler_module, "slots_now", lambda settings: {False: SLOTS})
    monkeypatch.setattr(registry_module, "_RECONCILE_SECONDS", 0.05)
    monkeypatch.setattr(registry_module, "_RETRY_SECONDS", 0.3)
    monkeypatch.setattr(registry_module, "_LOADING_SECONDS", 1.0)
    monkeypatch.setattr(DriverProcess, "kill", lambda self: None)
    monkeypatch.setattr(DriverProcess, "named", lambda name: None)


@pytest.fixture
def settings(gateway_server: S3Server) -> Settings:
    """With a bucket of the test's own: a registry begins with all the jobs that it finds. No nodes have spares."""
    own = gateway_server.settings(bucket=f"registry-{secrets.token_hex(4)}").model_copy(update={"spare_processes": 0})
    ObjectStore(own).ensure_bucket()
    return own
