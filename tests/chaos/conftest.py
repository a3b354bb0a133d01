"""Stacks to be disturbed, one at a time, and the table of how long they took to recover."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.disturbed_job import Undisturbed, job_data, run_undisturbed
from tests.chaos.journal import Journal
from tests.chaos.recoveries import Recoveries
from tests.integration.service import RunningStack

_RECOVERIES = pytest.StashKey[Recoveries]()

# The static engine is slowed down rather than the default waited for: the duration of a job, and so the moment of the
# kill, then hardly depends on how busy the machine is.
CHAOS_SETTINGS = {
    "LABELWORKS_MODELS": '["tests.chaos.journal_engine"]',
    "LABELWORKS_RANGE_MIN_BYTES": "16384",
    "LABELWORKS_CLASSIFIERS_PER_JOB": "2",
    # Ray's workers are polite (15) by default; here they must not starve beside whatever else the machine does.
    "RAY_worker_niceness": "0",
    "LABELWORKS_SMALL_JOB_BYTES": "100000",
    # A driver process is then the driver of a job; test_spare_drivers.py is about the others.
    "LABELWORKS_SPARE_DRIVERS": "0",
    "CHAOS_ENGINE": "static",
    "CHAOS_SECONDS_PER_TEXT": "0.015",
}


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RECOVERIES] = Recoveries()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    recoveries = config.stash[_RECOVERIES]
    if recoveries.measured:
        terminalreporter.section("recoveries")
        for line in recoveries.table():
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def recoveries(pytestconfig: pytest.Config) -> Recoveries:
    return pytestconfig.stash[_RECOVERIES]


@pytest.fixture(scope="session")
def data() -> bytes:
    return job_data()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> Undisturbed:
    """The same data run in a stack that is left in peace, at full speed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = CHAOS_SETTINGS | {"CHAOS_SECONDS_PER_TEXT": "0"} | Journal(folder / "journal").environment()
    with RunningStack.start(folder, **settings) as stack:
        return run_undisturbed(stack, "undisturbed", data)


@pytest.fixture(scope="module")
def stack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disturbed")


@pytest.fixture(scope="module")
def journal(stack_folder: Path) -> Journal:
    return Journal(stack_folder / "journal")


@pytest.fixture(scope="module")
def stack(undisturbed: Undisturbed, stack_folder: Path, journal: Journal) -> Iterator[RunningStack]:
    """A stack for the tests of one module; ``undisturbed`` first, since only one runs at a time."""
    with RunningStack.start(stack_folder, **CHAOS_SETTINGS, **journal.environment()) as running:
        yield running
