"""Engines are loaded once for all tests: loading is most of what they cost."""

from __future__ import annotations

import pytest

from models.engines.blend import STATIC_SHARE, Blend
from models.engines.minilm import MiniLm
from models.engines.static import Static
from models.paired_encoder import PairedEncoder
from models.registry import load_engine

AnyEngine = MiniLm | Static | Blend


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


@pytest.fixture(scope="session")
def blend(minilm: MiniLm, static: Static) -> Blend:
    return Blend(PairedEncoder(minilm.encoder, static.encoder, STATIC_SHARE))


@pytest.fixture(scope="session", params=["minilm", "static", "blend"])
def engine(request: pytest.FixtureRequest) -> AnyEngine:
    loaded: AnyEngine = request.getfixturevalue(request.param)
    return loaded
