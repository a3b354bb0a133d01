"""Every engine by name. Adding one takes a file in models/engines and a line here."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from models.exceptions import UnknownEngine

if TYPE_CHECKING:
    # It brings numpy along, which whoever only reads the settings does not wait for.
    from models.protocol import Engine, TokenCounter

_MODULES = {
    "minilm": "models.engines.minilm",
    "static": "models.engines.static",
    "blend": "models.engines.blend",
    "embedding": "models.engines.embedding",
    "nli": "models.engines.nli",
    "gliclass": "models.engines.gliclass",
    "llm": "models.engines.llm",
}
_RELATIVE_SPEEDS = {"static": 32, "embedding": 16}


class _EngineModule(Protocol):
    def load(self, threads: int | None, weights: str | None) -> Engine: ...

    def load_token_counter(self, weights: str | None) -> TokenCounter: ...


def engine_names() -> tuple[str, ...]:
    """Every engine there is, installed or not, the default first."""
    return tuple(_MODULES)


def load_engine(name: str = "minilm", *, threads: int | None = None, weights: str | None = None) -> Engine:
    """An engine with its weights loaded.

    ``name`` is one of ``engine_names()``, or the dotted name of a module of your own that has ``load`` and
    ``load_token_counter``.
    ``threads`` is how many CPU threads it may use (default: all processors this process may run on).
    ``weights`` is a folder or a hub name instead of the installed package. Raises UnknownEngine, or
    ModelUnavailable with the command that installs what is missing.
    """
    return _module(name).load(threads, weights)


def uses_gpu(name: str) -> bool:
    """Whether the engine computes on a GPU where it is given one: its module says ``USES_GPU = True``."""
    try:
        return bool(getattr(_module(name), "USES_GPU", False))
    except (ImportError, UnknownEngine):
        # It fails where it is loaded, for the job that asks for it, not for whoever counts GPUs.
        return False


def engine_arithmetic(name: str) -> str:
    """What the engine computes in on this machine's CPU, where CPUs differ in that: what its module's ``arithmetic()``
    says; "" where it has none. Raises UnknownEngine.
    """
    hook: Callable[[], str] | None = getattr(_module(name), "arithmetic", None)
    return hook() if hook else ""


def relative_speed(name: str) -> int:
    """About how many times as many bytes of text a second as ``minilm`` an engine takes, on the hardware it is for:
    at least 1, and 1 for whatever is not known to be much faster.
    """
    return _RELATIVE_SPEEDS.get(name, 1)


@lru_cache(maxsize=8)
def load_token_counter(name: str = "minilm", *, weights: str | None = None) -> TokenCounter:
    """Counts tokens as the engine does, without its weights; loaded once a process. Raises as load_engine does."""
    return _module(name).load_token_counter(weights)


def engine_module_file(name: str) -> Path:
    """The source of the engine's module, which is not imported. Raises UnknownEngine."""
    found = _spec(name)
    if found.origin is None:
        raise UnknownEngine(name, engine_names())
    return Path(found.origin)


def _module(name: str) -> _EngineModule:
    return cast(_EngineModule, importlib.import_module(_spec(name).name))


def _spec(name: str) -> ModuleSpec:
    module = _module_name(name)
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError as error:
        # A package around it that exists may itself need what is not installed.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        found = None
    if found is None:
        raise UnknownEngine(name, engine_names())
    return found


def _module_name(name: str) -> str:
    if name not in _MODULES and "." not in name:
        raise UnknownEngine(name, engine_names())
    return _MODULES.get(name, name)
