"""Finds a model's files in an installed package, a local folder or a model hub, and checks what they are."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.exceptions import ModelUnavailable

_HUB_NAME = "'organisation/name' or 'organisation/name@revision'"


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """Where a model's files are published.

    ``files`` maps a file's name to its SHA-256 in hexadecimal. ``package_paths`` gives, by the same names,
    where the file lies in the installed package ``package``; ``hub`` is the repository on the Hugging Face
    hub.
    """

    model: str
    package: str
    requirement: str
    package_paths: Mapping[str, str]
    hub: str
    files: Mapping[str, str]

    @property
    def install_command(self) -> str:
        return f"pip install --no-deps {self.requirement}"


@dataclass(frozen=True, slots=True)
class HubName:
    """A repository on the Hugging Face hub and its ``revision``: a commit, tag or branch. None is the default branch as
    it is when it is downloaded, on each machine for itself.
    """

    repository: str
    revision: str | None

    @classmethod
    def parse(cls, source: str) -> HubName | None:
        """None for what is no name of a repository."""
        repository, at, revision = source.partition("@")
        if repository.startswith((".", "/", "~")) or repository.count("/") != 1 or (at and not revision):
            return None
        return cls(repository, revision or None)


def locate(published: PublishedWeights, source: str | None, names: tuple[str, ...] | None = None) -> dict[str, Path]:
    """Paths of the model's files, each verified by hash.

    ``source`` is None for the installed package, a folder that holds the files, or a hub repository
    ("organisation/name" or "organisation/name@revision", downloaded once into the hub's own cache). ``names``
    limits the answer to some files. Raises ModelUnavailable when a file is missing, differs from the published
    one, or the hub does not answer.
    """
    wanted = names if names is not None else tuple(published.files)
    if source is None:
        found = _from_package(published, wanted)
    elif Path(source).is_dir():
        found = _from_folder(published, Path(source), wanted)
    else:
        found = _from_hub(published, source, wanted)
    for name, path in found.items():
        _verify(published, path, published.files[name])
    return found


def model_folder(source: str, names: tuple[str, ...] | None = None) -> Path:
    """A folder with a whole model (or the files ``names``) of the operator's choice, which no hash is known of.

    ``source`` is the folder itself or a hub repository, as ``locate`` takes it. Raises ModelUnavailable.
    """
    if Path(source).is_dir():
        return Path(source)
    wanted = list(names or ("*.json", "*.safetensors", "*.txt", "*.model"))
    with _hub(source, "Without a network, set the engine's weights to a folder that holds the model.") as named:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(named.repository, revision=named.revision, allow_patterns=wanted))


def tokenizer_file(folder: Path) -> Path:
    """The ``tokenizer.json`` of a model's folder. Raises ModelUnavailable where there is none."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelUnavailable(f"{folder} holds no tokenizer.json; save the model with a fast tokenizer.")
    return path


def _from_package(published: PublishedWeights, names: tuple[str, ...]) -> dict[str, Path]:
    try:
        distribution = importlib.metadata.distribution(published.package)
    except importlib.metadata.PackageNotFoundError:
        raise ModelUnavailable(
            f"The weights of {published.model} are not installed. Install them with "
            f"'{published.install_command}', or name a folder that holds {', '.join(published.files)}, "
            f"or, where the hub can be reached, '{published.hub}'."
        ) from None
    found = {name: Path(str(distribution.locate_file(published.package_paths[name]))) for name in names}
    for path in found.values():
        if not path.is_file():
            raise ModelUnavailable(
                f"The installed package {published.package} lacks {path.name}. "
                f"Install it again with '{published.install_command} --force-reinstall'."
            )
    return found


def _from_folder(published: PublishedWeights, folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    found = {name: folder / name for name in names}
    missing = sorted(name for name, path in found.items() if not path.is_file())
    if missing:
        raise ModelUnavailable(f"The folder {folder} lacks {', '.join(missing)} of {published.model}.")
    return found


def _from_hub(published: PublishedWeights, source: str, names: tuple[str, ...]) -> dict[str, Path]:
    install = published.install_command
    with _hub(
        source,
        f"Without a network install the weights with '{install}' or name a folder that holds them.",
        f" The weights of {published.model} can be installed with '{install}'.",
    ) as named:
        from huggingface_hub import hf_hub_download

        return {name: Path(hf_hub_download(named.repository, name, revision=named.revision)) for name in names}


@contextmanager
def _hub(source: str, without_network: str, without_folder: str = "") -> Iterator[HubName]:
    """Inside, the hub's client can be imported and used for what ``source`` names; what it raises, and what keeps it
    from being used, is raised as ModelUnavailable, with what to do ``without_network`` or ``without_folder``.
    """
    named = HubName.parse(source)
    if named is None:
        raise ModelUnavailable(
            f"There is no folder {source!r}, and a hub repository is written {_HUB_NAME}.{without_folder}"
        )
    try:
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError:
        raise ModelUnavailable("Weights by hub name need the hub's client: 'pip install huggingface_hub'.") from None
    try:
        yield named
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelUnavailable(
            f"The hub did not hand out {source!r} ({type(error).__name__}: {error}). {without_network}"
        ) from error


def _verify(published: PublishedWeights, path: Path, expected: str) -> None:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise ModelUnavailable(
            f"{path} is not the file of {published.model}: its SHA-256 is {actual}, not {expected}. "
            f"Restore it with '{published.install_command} --force-reinstall', or use the engine 'embedding' "
            f"for weights of your own."
        )
