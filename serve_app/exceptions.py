"""What calls are refused for, beside what a pipeline raises. A class's docstring is its message unless a better one is
given.
"""

from __future__ import annotations

from pipelines.exceptions import BadRequest, Conflict, LabelworksError, NotFound, Unavailable


class InputMissing(BadRequest):
    """No file was uploaded for this job."""

    code = "INPUT_MISSING"


class Unauthorized(LabelworksError):
    """The API key is missing, unknown or revoked. Send it as 'Authorization: Bearer <api key>'."""

    code = "UNAUTHORIZED"


class JobNotFound(NotFound):
    """There is no such job."""


class RecordUnreadable(LabelworksError):
    """The job's record cannot be read. The service's operator finds the reason in its log."""

    @classmethod
    def of(cls, job_id: str) -> RecordUnreadable:
        return cls(
            f"The record of job {job_id} cannot be read. The service's operator finds the reason in its log, by the"
            " X-Request-ID of this answer. Until the record is mended, the job can only be deleted."
        )


class KeyNotFound(NotFound):
    """There is no such API key."""


class ClassifierNotFound(NotFound):
    """There is no such classifier."""


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


class ModelUnusable(Unavailable):
    """The model cannot be used now. The service's operator finds the reason in its log."""

    @classmethod
    def named(cls, model: str) -> ModelUnusable:
        return cls(f"Model {model[:80]!r} cannot be used now. The service's operator finds the reason in its log.")


class BucketTaken(Unavailable):
    """Another cluster has taken this bucket over; call that one. `labelworks doctor` tells this one's operator more."""


class KeyUncertain(LabelworksError):
    """Whether the key was made is not known. If GET /v1/keys lists this id, revoke it, then make another."""

    code = "KEY_UNCERTAIN"


class RegistrySuperseded(LabelworksError):
    """A newer registry writes to this bucket; this one must stop without writing."""
