"""Everything the client raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labelworks.types import Batch


class LabelworksError(Exception):
    """The base of all errors of this client."""


class ConfigurationError(LabelworksError):
    """The client was not told what it needs, such as the API key."""


class InputError(LabelworksError):
    """The texts, the file or another argument cannot be sent. Nothing was uploaded."""


class APIConnectionError(LabelworksError):
    """The service could not be reached, or the connection broke, also after all retries.

    ``sent``: the call may have arrived, so that the service may have carried it out.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class APITimeoutError(APIConnectionError):
    """The service did not answer in time, also after all retries."""


class APIStatusError(LabelworksError):
    """The service, or its storage, answered with an error.

    ``code`` is the contract's code (``VALIDATION_ERROR``, …), ``details`` what else it says, and ``request_id``
    what to quote to the operator. ``repeated``: an earlier attempt of the same call got no answer, or one that says
    that it may have been carried out.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        request_id: str | None = None,
        details: dict[str, Any] | None = None,
        repeated: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.details = details or {}
        self.repeated = repeated

    def __str__(self) -> str:
        tail = f", request {self.request_id}" if self.request_id else ""
        return f"{self.message} ({self.status} {self.code}".rstrip() + f"{tail})"


class BadRequestError(APIStatusError):
    """400: the request cannot be carried out as it stands."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing or unknown."""


class NotFoundError(APIStatusError):
    """404: this account has no such job."""


class ConflictError(APIStatusError):
    """409: the job's state, or another job of the account, does not allow this now."""


class RequestTooLargeError(APIStatusError):
    """413: the request's body is too large."""


class ValidationError(APIStatusError):
    """422: a field of the request is not valid; ``details["field"]`` names it."""


class RateLimitError(APIStatusError):
    """429: too many calls, also after all retries."""


class ServerError(APIStatusError):
    """500 and over, or a 404 of a proxy that has no service behind it: the service failed, or cannot take calls now."""


class UnexpectedAnswerError(APIStatusError):
    """2xx, but not what the service answers: ``base_url`` names something else, or a proxy answered in its place."""


class StorageError(APIStatusError):
    """The storage that files are uploaded to and downloaded from refused."""


class UnsupportedError(LabelworksError):
    """The service that was called does not offer this."""


class ResultsChangedError(LabelworksError):
    """The results were replaced by others while they were being read; read them again from the start."""


class BatchFailedError(LabelworksError):
    """The job ended as ``failed``; ``batch`` is its last state. Starting it again goes on where it ended."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(f"Job {batch.job_id} {batch.status}: {batch.error or 'no reason was given'}")
        self.batch = batch


class BatchNotStartedError(LabelworksError):
    """The job was never started, so that waiting for it would not end; ``batch`` is its state."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(f"Job {batch.job_id} is pending: it was not started")
        self.batch = batch


class WaitTimeoutError(LabelworksError):
    """The job had not ended within the time that the caller allowed. It goes on; ``batch`` is its last state."""

    def __init__(self, batch: Batch, seconds: float) -> None:
        super().__init__(f"Job {batch.job_id} was still {batch.status} after {seconds:g} seconds")
        self.batch = batch
