"""The one exception tree of the service. A class's docstring is its message unless a better one is given."""

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


class InputMissing(BadRequest):
    """No file was uploaded for this job."""

    code = "INPUT_MISSING"


class Unauthorized(LabelworksError):
    """The API key is missing, unknown or revoked. Send it as 'Authorization: Bearer <api key>'."""

    code = "UNAUTHORIZED"


class NotFound(LabelworksError):
    """There is nothing here."""

    code = "NOT_FOUND"


class JobNotFound(NotFound):
    """There is no such job."""


class KeyNotFound(NotFound):
    """There is no such API key."""


class ClassifierNotFound(NotFound):
    """There is no such classifier."""


class Conflict(LabelworksError):
    """The job's state does not allow this."""

    code = "CONFLICT"


class IllegalTransition(Conflict):
    """A job cannot change from its state in this way."""


class AccountBusy(Conflict):
    """Another job of this account is processing. Wait until it has ended, then start this one."""


class LastKey(Conflict):
    """This is the account's last valid key, and without one it is locked out. Make another key first."""


class TooManyKeys(Conflict):
    """The account has as many keys as it may have. Revoke one first."""


class TooManyClassifiers(Conflict):
    """The account has as many versions of classifiers as it may have. Delete some first."""


class IdempotencyConflict(Conflict):
    """This Idempotency-Key was used before with another request body. Use a new key for another request."""

    code = "IDEMPOTENCY_CONFLICT"


class RequestInvalid(LabelworksError):
    """A field of the request is not valid."""

    code = "VALIDATION_ERROR"


class BodyTooLarge(LabelworksError):
    """The request body is too large."""

    code = "BODY_TOO_LARGE"


class BodyTooSlow(LabelworksError):
    """The request body took too long to arrive."""

    code = "REQUEST_TIMEOUT"


class TooManyRequests(LabelworksError):
    """This API key has made too many requests. Try again later."""

    code = "RATE_LIMITED"


class Unavailable(LabelworksError):
    """The service cannot take this call now. Try again shortly."""

    code = "UNAVAILABLE"


class ModelUnusable(Unavailable):
    """The model cannot be used now. The service's operator finds the reason in its log."""

    @classmethod
    def named(cls, model: str) -> ModelUnusable:
        return cls(f"Model {model[:80]!r} cannot be used now. The service's operator finds the reason in its log.")


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


class BucketTaken(Unavailable):
    """Another cluster has taken this bucket over; call that one. `labelworks doctor` tells this one's operator more."""


class KeyUncertain(LabelworksError):
    """Whether the key was made is not known. If GET /v1/keys lists this id, revoke it, then make another."""

    code = "KEY_UNCERTAIN"


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


class RegistrySuperseded(LabelworksError):
    """A newer registry writes to this bucket; this one must stop without writing."""
