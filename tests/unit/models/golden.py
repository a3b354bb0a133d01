"""Vectors that the reference implementations gave, recorded by ``python -m tests.extras.record_golden``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.protocol import Vectors
from tests.unit.models.sample_texts import ORDINARY

FILE = Path(__file__).with_name("golden.npz")


def golden_texts() -> list[str]:
    """The sample texts that fit into every model's window."""
    return [text for text in ORDINARY if len(text) < 700]


def read_golden(engine: str) -> tuple[list[str], Vectors]:
    """The texts and their unit-length vectors."""
    with np.load(FILE) as recorded:
        vectors = recorded[engine].astype(np.float32)
    return golden_texts(), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
