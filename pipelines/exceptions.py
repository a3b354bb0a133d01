"""The base of the service's exceptions, and those that a pipeline raises. A class's docstring is its message unless a
better one is given.
"""

from __future__ import annotations

from typing import Any, ClassVar


class LabelworksError(Exception):
    """Something went wrong inside the service."""

    code: ClassVar[str] = "INTERNAL_ERROR"

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.details = details
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.details)


def _rebuild(cls: type[LabelworksError], message: str, details: dict[str, Any]) -> LabelworksError:
    return cls(message, **details)


class BadRequest(LabelworksError):
    """The request cannot be carried out as it stands."""

    code = "BAD_REQUEST"


class InputRejected(BadRequest):
    """The uploaded file cannot be classified."""

    code = "INVALID_INPUT"


class NotFound(LabelworksError):
    """There is nothing here."""

    code = "NOT_FOUND"


class Conflict(LabelworksError):
    """The job's state does not allow this."""

    code = "CONFLICT"


class IllegalTransition(Conflict):
    """A job cannot change from its state in this way."""


class Unavailable(LabelworksError):
    """The service cannot take this call now. Try again shortly."""

    code = "UNAVAILABLE"


class StorageUnavailable(Unavailable):
    """The object storage does not answer. Try again shortly."""

    def __init__(self, message: str | None = None, *, reason: str = "", **details: Any) -> None:
        """``reason`` names addresses, objects and identities: str() has it, for logs and operators; clients do not."""
        super().__init__(message, **details)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, {**self.details, "reason": self.reason})

    def __str__(self) -> str:
        return f"{self.message} Reason: {self.reason}" if self.reason else self.message


class ObjectMissing(LabelworksError):
    """There is no such object."""


class ObjectChanged(LabelworksError):
    """The object is not the version that was asked for any more."""


class InputChanged(Conflict):
    """The input file was overwritten while the job was processing it. Start the job again to use the new file."""

    code = "INPUT_CHANGED"


class ModelFailed(LabelworksError):
    """The job's model cannot be used on this node, or not with the job's labels."""


class ClassifierBroken(LabelworksError):
    """The model fails on every text, even on a known good one. The service's operator finds the reason in its log."""


class OtherArithmetic(LabelworksError):
    """This node computes the model in another arithmetic than the job's other nodes."""


class OtherEngine(LabelworksError):
    """This node has another version of the model or its libraries than the job's plan."""


class DriverSuperseded(LabelworksError):
    """Another driver has taken this job over, or the job was ended; this one must stop without writing."""
