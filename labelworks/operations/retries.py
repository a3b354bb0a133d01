"""Repeating calls that may succeed the next time, and turning answers into errors."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from labelworks.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    RateLimitError,
    RequestTooLargeError,
    ServerError,
    StorageError,
    ValidationError,
)
from labelworks.operations.effects import Answer, Operation, Request, call, sleep

logger = logging.getLogger("labelworks")

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_LONGEST_RETRY_AFTER_SECONDS = 300.0
_RETRIED_STATUSES = frozenset({429, 502, 503, 504})
# S3 answers 500 to calls that it wants repeated.
_RETRIED_STORAGE_STATUSES = _RETRIED_STATUSES | {500}
# A gateway that got no answer itself: the service may have carried the call out.
_LOST_STATUSES = frozenset({502, 504})
_ERRORS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    404: NotFoundError,
    409: ConflictError,
    413: RequestTooLargeError,
    422: ValidationError,
    429: RateLimitError,
}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is repeated, and after how long. ``chance`` gives numbers from 0 to 1."""

    max_retries: int
    chance: Callable[[], float] = random.random

    def backoff(self, retries: int) -> float:
        """Seconds before the next attempt after ``retries`` of them: doubling, half of it by chance."""
        longest = min(_FIRST_DELAY_SECONDS * 2.0**retries, _LONGEST_DELAY_SECONDS)
        return longest * (0.5 + 0.5 * self.chance())

    def delay_after(self, answer: Answer, retries: int, *, storage: bool = False) -> float | None:
        """Seconds before the next attempt after this answer, or None where it is final.

        ``Retry-After`` is never undercut; one of more than five minutes is final, for the caller to decide.
        """
        retried = _RETRIED_STORAGE_STATUSES if storage else _RETRIED_STATUSES
        if retries >= self.max_retries or answer.status not in retried:
            return None
        told = retry_after(answer)
        if told is not None and told > _LONGEST_RETRY_AFTER_SECONDS:
            return None
        return max(self.backoff(retries), told or 0.0)


def answered(request: Request, policy: RetryPolicy, *, storage: bool = False) -> Operation[Answer]:
    """The good answer to a call, after retries. Raises APIStatusError or APIConnectionError."""
    repeated = False
    retries = 0
    while True:
        try:
            answer = yield from call(request)
        except APIConnectionError as error:
            if retries >= policy.max_retries:
                raise
            repeated = True
            delay = policy.backoff(retries)
            logger.info("%s; next attempt in %.1f s", error, delay)
        else:
            if answer.ok:
                return replace(answer, repeated=repeated)
            after = policy.delay_after(answer, retries, storage=storage)
            if after is None:
                raise status_error(replace(answer, repeated=repeated), storage=storage)
            repeated = repeated or answer.status in _LOST_STATUSES
            delay = after
            logger.info("%s %s was answered with %s; next attempt in %.1f s", *_named(request), answer.status, delay)
        yield from sleep(delay)
        retries += 1


def retry_after(answer: Answer) -> float | None:
    """The seconds of a ``Retry-After`` header, which holds a number or a date; None without a readable one."""
    header = answer.headers.get("retry-after", "").strip()
    if header.isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0) if moment.tzinfo else None


def status_error(answer: Answer, *, storage: bool = False) -> APIStatusError:
    """The error for an answer: of the contract's JSON shape, or S3's XML."""
    if storage:
        kind: type[APIStatusError] = StorageError
        body = _storage_error(answer.content)
    else:
        kind = _ERRORS.get(answer.status, ServerError if answer.status >= 500 else APIStatusError)
        body = _contract_error(answer)
    details = body.get("details")
    return kind(
        str(body.get("message") or f"The service answered with status {answer.status}"),
        status=answer.status,
        code=str(body.get("code") or ""),
        request_id=answer.headers.get("x-request-id") or answer.headers.get("x-amz-request-id"),
        details=details if isinstance(details, dict) else None,
        repeated=answer.repeated,
    )


def _contract_error(answer: Answer) -> dict[str, object]:
    try:
        body = answer.json()
    except ValueError:
        return {"message": answer.content[:200].decode("utf-8", "replace").strip()}
    if not isinstance(body, dict):
        return {}
    return {**body, "message": body.get("message") or body.get("detail")}


def _storage_error(content: bytes) -> dict[str, object]:
    text = content.decode("utf-8", "replace")
    found = {name.lower(): re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL) for name in ("Code", "Message")}
    return {name: match[1] for name, match in found.items() if match}


def _named(request: Request) -> tuple[str, str]:
    # Without the query, in which a storage address carries its signature.
    return request.method, request.url.partition("?")[0]
