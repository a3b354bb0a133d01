"""Tests of what needs more than the default install: run with ``make test-extras``, never skipped in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extras.tiny_models import save_tiny_bert


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("tiny-bert"))
