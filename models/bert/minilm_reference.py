"""What the calibration run measured: ranges for the 8-bit layers, and vectors to check an engine against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from models.bert.layers import LinearInput
from models.protocol import Vectors

FILE = "minilm_reference.json"


@dataclass(frozen=True, slots=True)
class MiniLmReference:
    """``vectors`` are those of ``texts`` in 32-bit arithmetic."""

    inputs: Mapping[str, LinearInput]
    texts: tuple[str, ...]
    vectors: Vectors

    @classmethod
    def read(cls) -> MiniLmReference:
        """The file beside this module, which ``python -m benchmarks.calibrate_minilm`` writes."""
        return cls.from_json(files("models.bert").joinpath(FILE).read_text())

    @classmethod
    def from_json(cls, content: str) -> MiniLmReference:
        data = json.loads(content)
        inputs = {
            name: _linear_input(entry["limit"], entry["smoothing"], entry["copies"])
            for name, entry in data["inputs"].items()
        }
        return cls(inputs, tuple(data["texts"]), np.array(data["vectors"], np.float32))

    def to_json(self) -> str:
        """Smoothing and vectors to 4 decimals, one line an input or vector, so that the file can be read."""
        inputs = ",\n".join(f"  {json.dumps(name)}: {json.dumps(_described(how))}" for name, how in self.inputs.items())
        vectors = ",\n".join(f"  {json.dumps(_rounded(vector))}" for vector in self.vectors)
        texts = json.dumps(self.texts, indent=1)
        return f'{{"inputs": {{\n{inputs}\n}},\n"texts": {texts},\n"vectors": [\n{vectors}\n]}}\n'


def _linear_input(limit: float, smoothing: list[float], copies: Mapping[str, int]) -> LinearInput:
    counts = np.ones(len(smoothing), np.int64)
    for channel, count in copies.items():
        counts[int(channel)] = count
    return LinearInput(np.array(smoothing, np.float32), limit, counts)


def _described(how: LinearInput) -> dict[str, object]:
    copies = {str(channel): int(how.copies[channel]) for channel in np.flatnonzero(how.copies > 1)}
    return {"limit": round(how.limit, 4), "copies": copies, "smoothing": _rounded(how.smoothing)}


def _rounded(values: Vectors) -> list[float]:
    return [round(float(value), 4) for value in values]
