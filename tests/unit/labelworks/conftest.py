from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from labelworks import AsyncLabelworks, Labelworks
from labelworks.cli import app
from labelworks.commands import watch
from labelworks.operations import drivers
from tests.unit.labelworks.fake_service import API_KEY, FakeService, running_service

TEXTS = b'{"text":"one two"}\n{"text":null}\n'

Perform = Callable[[str], Callable[..., Any]]


@pytest.fixture
def service() -> Iterator[FakeService]:
    with running_service() as running:
        yield running


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds for which clients would have slept, instead of sleeping; their clock shows the sum."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(drivers.time, "sleep", slept.append)
    monkeypatch.setattr(drivers.asyncio, "sleep", sleep)
    for module in (drivers, watch):
        monkeypatch.setattr(module, "monotonic", lambda: sum(slept))
    return slept


@pytest.fixture
def client(service: FakeService, pauses: list[float]) -> Iterator[Labelworks]:
    with Labelworks(api_key=API_KEY, base_url=service.url, max_retries=3) as client:
        yield client


@pytest.fixture(params=["sync", "async"])
def perform(request: pytest.FixtureRequest, service: FakeService, pauses: list[float]) -> Perform:
    """``perform("batches.create")(labels=[…])`` by either client; streams come back as lists."""

    def of(name: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            options: dict[str, Any] = {"api_key": API_KEY, "base_url": service.url, "max_retries": 3}
            if request.param == "sync":
                with Labelworks(**options) as client:
                    result = _named(client, name)(*args, **kwargs)
                    return list(result) if name.endswith("results") else result

            async def run_async() -> Any:
                async with AsyncLabelworks(**options) as client:
                    result = _named(client, name)(*args, **kwargs)
                    return [item async for item in result] if name.endswith("results") else await result

            return asyncio.run(run_async())

        return run

    return of


class Command:
    """``labelworks`` in a folder of its own, with the service in its environment."""

    def __init__(self, service: FakeService, folder: Path, **environment: str | None) -> None:
        self.service = service
        self.folder = folder
        ours = {"LABELWORKS_API_KEY": API_KEY, "LABELWORKS_BASE_URL": service.url, "COLUMNS": "200"}
        self._environment = {**ours, **environment}

    def __call__(self, *arguments: object, exit_code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=self._environment, input=stdin)
        assert result.exit_code == exit_code, result.output
        return result


@pytest.fixture
def labelworks(service: FakeService, pauses: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.ndjson").write_bytes(TEXTS)
    return Command(service, tmp_path)


def _named(client: object, name: str) -> Any:
    found: Any = client
    for part in name.split("."):
        found = getattr(found, part)
    return found
