"""What the calibration run measured: ranges for the 8-bit layers, and vectors to check an engine against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from models.engines.bert_graph import LinearInput
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
        """The file beside this module, which ``python -m models.engines.calibrate_minilm`` writes."""
        return cls.from_json(files("models.engines").joinpath(FILE).read_text())

    @classmethod
    def from_json(cls, content: str) -> MiniLmReference:
        data = json.loads(content)
        inputs = {
            name: LinearInput(np.array(entry["smoothing"], np.float32), entry["limit"])
            for name, entry in data["inputs"].items()
        }
        return cls(inputs, tuple(data["texts"]), np.array(data["vectors"], np.float32))

    def to_json(self) -> str:
        """Smoothing and vectors to 4 decimals, one line an input or vector, so that the file can be read."""
        inputs = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps({'limit': round(how.limit, 4), 'smoothing': _rounded(how.smoothing)})}"
            for name, how in self.inputs.items()
        )
        vectors = ",\n".join(f"  {json.dumps(_rounded(vector))}" for vector in self.vectors)
        texts = json.dumps(self.texts, indent=1)
        return f'{{"inputs": {{\n{inputs}\n}},\n"texts": {texts},\n"vectors": [\n{vectors}\n]}}\n'


def _rounded(values: Vectors) -> list[float]:
    return [round(float(value), 4) for value in values]
