"""Unit tests run on loaded machines: a moderate number of examples, and no deadline for one of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from pipelines import logs

settings.register_profile(
    "unit",
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("unit")


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What was written to standard error; the packages' loggers are put back afterwards."""
    loggers = [logging.getLogger(name) for name in logs.PACKAGES]
    before = [(each, each.handlers, each.level, each.propagate) for each in loggers]
    yield lambda: capsys.readouterr().err
    for each, handlers, level, propagate in before:
        each.handlers, each.level, each.propagate = handlers, level, propagate
