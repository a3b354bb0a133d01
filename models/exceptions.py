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


class UnusableProbabilities(ModelError):
    """An engine computed not-a-number or infinity where a probability is due."""

    def __init__(self, texts: int, of: int) -> None:
        super().__init__(
            f"The engine computed probabilities that are not finite numbers for {texts} of {of} texts. Where that "
            f"happens often its weights are damaged or too large for its arithmetic: use others."
        )
