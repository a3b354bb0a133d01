"""What a failed call of S3 means: another try may do, or which of our own exceptions it is."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
)
from urllib3.exceptions import HTTPError

from pipelines.exceptions import ObjectMissing, StorageUnavailable

StorageError = BotoCoreError | ClientError | HTTPError

_MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchUpload"}
_TRANSIENT_CODES = {
    # Of a conditional write at the same time as another; the next try finds out whether its condition is still met.
    "ConditionalRequestConflict",
    "ExpiredToken",
    "InternalError",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "XMinioServerNotInitialized",
}
_STORING_CALLS = {
    "CompleteMultipartUpload",
    "CreateMultipartUpload",
    "PutObject",
    "UploadPart",
    "UploadPartCopy",
}
_NO_CREDENTIALS = "there are no credentials: set LABELWORKS_S3_ACCESS_KEY and LABELWORKS_S3_SECRET_KEY"
_TRANSIENT_ERRORS = (
    # Of credentials that the machine has of its own and renews every few hours.
    CredentialRetrievalError,
    # With their subclasses: refused connections, timeouts, TLS, proxies; answers that break off.
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    # What botocore passes on as it is: TLS that fails in the middle of a body.
    HTTPError,
)


class PreconditionFailed(Exception):
    """The object is not the version that was asked for."""


class CallRefused(StorageUnavailable):
    """The object storage refused a call. The service's operator finds the reason in its log."""


def raise_unless_transient(error: StorageError) -> None:
    """Returns where another try may do. Raises ObjectMissing, PreconditionFailed, or CallRefused for a refusal; what
    says nothing of the storage is raised as it is.
    """
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _MISSING or (status == 404 and code != "NoSuchBucket"):
            raise ObjectMissing from error
        if status in (412, 416):
            raise PreconditionFailed from error
        if (status >= 500 and code != "NotImplemented") or code in _TRANSIENT_CODES:
            return
        raise CallRefused(reason=_reason(error)) from error
    if isinstance(error, NoCredentialsError):
        raise CallRefused(reason=_NO_CREDENTIALS) from error
    if not isinstance(error, _TRANSIENT_ERRORS):
        raise error


def given_up(error: StorageError, seconds: float) -> StorageUnavailable:
    """What to raise where every try of so many seconds failed, the last with this."""
    return StorageUnavailable(_gave_up(error, seconds), reason=_reason(error))


def _gave_up(error: StorageError, seconds: float) -> str | None:
    if not isinstance(error, ClientError):
        return None
    said = f"The object storage was asked for {seconds:g} seconds, and failed each time."
    # Of a full disk some servers say no more than that something inside them failed.
    return f"{said} See whether it has free space." if error.operation_name in _STORING_CALLS else said


def _reason(error: StorageError) -> str:
    if isinstance(error, ClientError):
        found = error.response.get("Error", {})
        return f"{error.operation_name} answered {found.get('Code', '?')}: {found.get('Message', '')}"
    return str(error)
