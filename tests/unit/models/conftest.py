"""Engines are loaded once for all tests: loading is most of what they cost."""

from __future__ import annotations

import pytest

from models.engines.minilm import MiniLm
from models.engines.static import Static
from models.registry import load_engine


@pytest.fixture(scope="session")
def minilm() -> MiniLm:
    engine = load_engine("minilm")
    assert isinstance(engine, MiniLm)
    return engine


@pytest.fixture(scope="session")
def static() -> Static:
    engine = load_engine("static")
    assert isinstance(engine, Static)
    return engine


@pytest.fixture(scope="session", params=["minilm", "static"])
def engine(request: pytest.FixtureRequest) -> MiniLm | Static:
    loaded: MiniLm | Static = request.getfixturevalue(request.param)
    return loaded
