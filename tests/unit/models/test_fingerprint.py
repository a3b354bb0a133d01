"""Whatever changes an engine's answers changes its fingerprint; what does not, does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.exceptions import UnknownEngine
from models.fingerprint import engine_fingerprint, installed_code


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    forget()
    yield
    forget()


def forget() -> None:
    """As a process that has just started."""
    engine_fingerprint.cache_clear()
    installed_code.cache_clear()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    (folder / "pooling").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 8192)
    (folder / "pooling" / "config.json").write_text("{}")
    return folder


def test_an_engine_keeps_its_fingerprint_and_another_has_another() -> None:
    first = engine_fingerprint("minilm")
    forget()
    assert engine_fingerprint("minilm") == first
    assert engine_fingerprint("static") != first


def test_the_same_weights_elsewhere_are_the_same(weights: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(weights, tmp_path / "copy")
    assert engine_fingerprint("embedding", weights=str(copy)) == engine_fingerprint("embedding", weights=str(weights))


def rewrite(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(bytes(reversed(range(256))) * 8192)


def lengthen(folder: Path) -> None:
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"x")


def configure(folder: Path) -> None:
    (folder / "pooling" / "config.json").write_text('{"pooling_mode": "cls"}')


def add(folder: Path) -> None:
    (folder / "adapter.json").write_text("{}")


@pytest.mark.parametrize("change", [rewrite, lengthen, configure, add])
def test_other_weights_have_another(weights: Path, change: Callable[[Path], None]) -> None:
    before = engine_fingerprint("embedding", weights=str(weights))
    change(weights)
    forget()
    assert engine_fingerprint("embedding", weights=str(weights)) != before


def test_an_engine_of_ones_own_is_told_by_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_engines").mkdir()
    module = tmp_path / "own_engines" / "mine.py"
    module.write_text("VERSION = 1\n")
    before = engine_fingerprint("own_engines.mine")
    module.write_text("VERSION = 2\n")
    forget()
    assert engine_fingerprint("own_engines.mine") != before


def test_another_library_that_computes_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    before = engine_fingerprint("minilm")
    monkeypatch.setattr("importlib.metadata.version", lambda _distribution: "99")
    forget()
    assert engine_fingerprint("minilm") != before


def test_another_arithmetic_has_another() -> None:
    assert engine_fingerprint("minilm", arithmetic="int8 and f32") != engine_fingerprint("minilm", arithmetic="f32")


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UnknownEngine):
        engine_fingerprint("none-such")


def test_a_process_keeps_telling_the_version_that_it_found_first(monkeypatch: pytest.MonkeyPatch) -> None:
    before = engine_fingerprint("minilm")
    monkeypatch.setattr("models.fingerprint._version", lambda distribution: "0.0.1")
    assert engine_fingerprint("minilm", arithmetic="another") != before
    engine_fingerprint.cache_clear()
    assert engine_fingerprint("minilm") == before
