from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from models.exceptions import ModelUnavailable, UnknownEngine
from models.registry import engine_module_file, engine_names, load_engine, load_token_counter
from models.weights import HubName, PublishedWeights, locate, model_folder

PUBLISHED = PublishedWeights(
    model="a model",
    package="no-such-package-is-installed",
    requirement="no-such-package-is-installed==1",
    package_paths={"weights": "package/weights"},
    hub="organisation/model",
    files={"weights": hashlib.sha256(b"numbers").hexdigest()},
)


def test_files_of_a_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"numbers")
    assert locate(PUBLISHED, str(tmp_path)) == {"weights": tmp_path / "weights"}


def test_a_changed_file_is_refused_with_both_hashes(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"others")
    with pytest.raises(ModelUnavailable, match=hashlib.sha256(b"others").hexdigest()):
        locate(PUBLISHED, str(tmp_path))


def test_a_folder_without_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=f"{tmp_path} lacks weights"):
        locate(PUBLISHED, str(tmp_path))


def test_without_the_package_the_message_says_how_to_install_it() -> None:
    with pytest.raises(ModelUnavailable, match="pip install --no-deps no-such-package-is-installed==1"):
        locate(PUBLISHED, None)


def test_a_package_that_lacks_the_file_is_to_be_reinstalled() -> None:
    with pytest.raises(ModelUnavailable, match="--force-reinstall"):
        locate(replace(PUBLISHED, package="pytest"), None)


@pytest.mark.parametrize("source", ["/no/such/folder", "./no-such-folder", "name", "a/b/c", "a/b@"])
def test_what_is_neither_folder_nor_hub_name_is_refused_without_a_network(source: str) -> None:
    with pytest.raises(ModelUnavailable, match="organisation/name@revision"):
        locate(PUBLISHED, source)
    with pytest.raises(ModelUnavailable, match="organisation/name@revision"):
        model_folder(source)


@pytest.mark.parametrize(
    ("source", "repository", "revision"),
    [
        ("organisation/model", "organisation/model", None),
        ("organisation/model@e8c3b32edf54", "organisation/model", "e8c3b32edf54"),
        ("organisation/model@refs/pr/1", "organisation/model", "refs/pr/1"),
    ],
)
def test_the_revision_of_a_hub_name_is_what_is_downloaded(
    source: str, repository: str, revision: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "weights").write_bytes(b"numbers")
    asked: list[tuple[str, str | None]] = []

    def download(repo_id: str, *_: str, revision: str | None, allow_patterns: object = None) -> str:
        asked.append((repo_id, revision))
        return str(tmp_path) if allow_patterns else str(tmp_path / "weights")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)

    assert HubName.parse(source) == HubName(repository, revision)
    assert locate(PUBLISHED, source) == {"weights": tmp_path / "weights"}
    assert model_folder(source) == tmp_path
    assert asked == [(repository, revision)] * 2


def test_a_hub_that_cannot_be_reached_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(repository: str, name: str, revision: str | None) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(ModelUnavailable, match=r"no route to host.*pip install"):
        locate(PUBLISHED, "organisation/model")


def test_files_of_the_hub_are_verified_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"others")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repository, name, revision: str(tmp_path / name))
    with pytest.raises(ModelUnavailable, match="SHA-256"):
        locate(PUBLISHED, "organisation/model")


def test_the_default_engine_comes_first() -> None:
    assert engine_names()[:2] == ("minilm", "static")


def test_every_file_beside_the_engines_is_an_engine_that_is_listed() -> None:
    listed = {engine_module_file(name) for name in engine_names()}
    (folder,) = {path.parent for path in listed}
    assert {*folder.glob("*.py")} - {folder / "__init__.py"} == listed


@pytest.mark.parametrize("load", [load_engine, load_token_counter])
def test_an_unknown_engine_is_refused_with_the_known_ones(load: object) -> None:
    assert callable(load)
    for name in ("gpt", "no.such", "models.no_such", "models.engines.minilm.deeper"):
        with pytest.raises(UnknownEngine, match=rf"no engine '{name}'.*minilm, static"):
            load(name)


def test_a_package_that_an_engine_of_ones_own_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "__init__.py").write_text("import no_such_package")
    (tmp_path / "lacking" / "engine.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        load_engine("lacking.engine")
