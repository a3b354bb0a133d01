"""One real stack (Ray, S3 server, Serve, default model) for all integration tests of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.settings import KIB, MIB
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
