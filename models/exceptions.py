"""The exception tree of the classifiers. Every message says what to do about it."""

from __future__ import annotations


class ModelError(Exception):
    """An engine cannot do what was asked of it."""


class UnknownEngine(ModelError):
    """No engine has this name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"There is no engine {name!r}. Choose one of: {', '.join(known)}.")
        self.name = name


class ModelUnavailable(ModelError):
    """An engine's weights or the packages it runs on are missing or damaged on this machine."""


class EngineSelfCheckFailed(ModelError):
    """An engine's vectors differ from the reference even in its most exact arithmetic."""
