"""One real stack (Ray, S3 server, Serve, default model) for all integration tests of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.object_store import ObjectStore
from pipelines.settings import KIB, MIB, Settings
from serve_app.embedded.gateway import S3Gateway
from serve_app.embedded.ports import free_port
from tests.integration.local_nodes import LocalNodes
from tests.integration.service import RunningStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """`labelworks dev` in a folder of its own, as a user runs it; only that inputs of a few MB count as large, ranges
    are short, so that a job of seconds has several, and bodies must arrive sooner.
    """
    settings = {
        "LABELWORKS_PREFETCH_BYTES": str(4 * MIB),
        "LABELWORKS_RANGE_MIN_BYTES": str(64 * KIB),
        "LABELWORKS_BODY_SECONDS": "5",
    }
    with RunningStack.start(tmp_path_factory.mktemp("stack"), **settings) as running:
        yield running
    # SIGTERM has stopped it, as it has to stop for supervisors: by its own end, not by Ray's.
    assert running.process.returncode == 0


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNodes]:
    """Where a file's tests start a cluster by an operator's commands."""
    local = LocalNodes(tmp_path_factory.mktemp("home"))
    try:
        yield local
    finally:
        local.stop()


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The bucket of such a cluster, at a server of its own."""
    folder = tmp_path_factory.mktemp("s3")
    with S3Gateway(folder, port=free_port(), access_key="cluster", secret_key="cluster-secret") as gateway:
        settings = Settings(
            s3_endpoint=gateway.endpoint,
            s3_access_key="cluster",
            s3_secret_key="cluster-secret",  # type: ignore[arg-type]
        )
        ObjectStore(settings).ensure_bucket()
        yield settings
