"""Repeating calls that may succeed the next time, and turning answers into errors."""

from __future__ import annotations

import logging
import math
import random
import re
import sys
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
from labelworks.operations.effects import Answer, Operation, Request, call, now, sleep
from labelworks.progress import duration

logger = logging.getLogger("labelworks")

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_LONGEST_RETRY_AFTER_SECONDS = 300.0
# A call may take so long in any case, however little time is left: to ask once is worth it.
_SHORTEST_TIMEOUT_SECONDS = 5.0
_RETRIED_STATUSES = frozenset({429, 502, 503, 504})
# A gateway that got no answer itself: the service may have carried the call out.
_LOST_STATUSES = frozenset({502, 504})
_NOT_READY = "There is no service at this address now: it is starting, or base_url names something else"
PASSING_ERRORS = (APIConnectionError, RateLimitError, ServerError)
"""What ends by itself where the service comes back."""

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
    """How often a call is repeated, and after how long. ``chance`` gives numbers from 0 to 1.

    A ``Retry-After`` of more than ``longest_retry_after`` seconds is final, for the caller to decide.
    """

    max_retries: int
    chance: Callable[[], float] = random.random
    longest_retry_after: float = _LONGEST_RETRY_AFTER_SECONDS

    def backoff(self, retries: int) -> float:
        """Seconds before the next attempt after ``retries`` of them: doubling, half of it by chance."""
        longest = min(_FIRST_DELAY_SECONDS * 2.0 ** min(retries, 30), _LONGEST_DELAY_SECONDS)
        return longest * (0.5 + 0.5 * self.chance())

    def delay_after(
        self, answer: Answer, retries: int, *, storage: bool = False, repeatable: bool = False
    ) -> float | None:
        """Seconds before the next attempt after this answer, or None where it is final.

        ``repeatable``: the call does no more when it is carried out twice. ``Retry-After`` is never undercut.
        """
        # S3 answers 500 to calls that it wants repeated, and the service where a process of it died under a call.
        failed = answer.status >= 500 and (storage or repeatable)
        not_ready = not storage and is_not_ready(answer)
        if retries >= self.max_retries or not (failed or answer.status in _RETRIED_STATUSES or not_ready):
            return None
        told = retry_after(answer)
        if told is not None and told > self.longest_retry_after:
            return None
        return max(self.backoff(retries), told or 0.0)


def answered(
    request: Request,
    policy: RetryPolicy,
    *,
    storage: bool = False,
    at_most_once: bool = False,
    until: float | None = None,
) -> Operation[Answer]:
    """The good answer to a call, after retries. Raises APIStatusError or APIConnectionError.

    ``at_most_once``: it is not repeated where the service may have carried it out. ``until``: it is repeated to that
    time of the clock (``Now``), however often and whatever ``Retry-After`` fits in, instead of ``max_retries`` times.
    """
    repeated = False
    retries = 0
    repeatable = request.method == "GET" or "Idempotency-Key" in request.headers
    told_after = policy.max_retries
    if until is not None:
        policy = replace(policy, max_retries=sys.maxsize, longest_retry_after=math.inf)
    while True:
        failure: APIConnectionError | APIStatusError
        try:
            answer = yield from call(request if until is None else _ending(request, until - (yield from now())))
        except APIConnectionError as error:
            if retries >= policy.max_retries or (at_most_once and error.sent):
                raise
            failure = error
            repeated = True
            delay = policy.backoff(retries)
            logger.info("%s; next attempt in %.1f s", error, delay)
        else:
            if answer.ok:
                return replace(answer, repeated=repeated, url=_named(request)[1])
            after = policy.delay_after(answer, retries, storage=storage, repeatable=repeatable)
            failure = status_error(replace(answer, repeated=repeated), storage=storage)
            if after is None or (at_most_once and answer.status in _LOST_STATUSES):
                raise failure
            repeated = repeated or _is_uncertain(answer)
            delay = after
            logger.info("%s %s was answered with %s; next attempt in %.1f s", *_named(request), answer.status, delay)
        if until is not None:
            left = until - (yield from now())
            if delay >= left:
                raise failure
            if retries == told_after:
                logger.warning("%s; it is asked again for up to %s", failure, duration(left))
        yield from sleep(delay)
        retries += 1


def _ending(request: Request, left: float) -> Request:
    longest = max(left, _SHORTEST_TIMEOUT_SECONDS)
    return replace(request, timeout=longest if request.timeout is None else min(request.timeout, longest))


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


def is_not_ready(answer: Answer) -> bool:
    """A 404 that is not the service's: a proxy in front of it says so while there is no service behind it."""
    return answer.status == 404 and not isinstance(_json_or_none(answer), dict)


def _is_uncertain(answer: Answer) -> bool:
    """Whether the service may have carried the call out: it tells so where its own parts did not answer it."""
    if answer.status in _LOST_STATUSES:
        return True
    details = _contract_error(answer).get("details") if answer.status == 503 else None
    return isinstance(details, dict) and details.get("uncertain") is True


def status_error(answer: Answer, *, storage: bool = False) -> APIStatusError:
    """The error for an answer: of the contract's JSON shape, or S3's XML."""
    if storage:
        kind: type[APIStatusError] = StorageError
        body = _storage_error(answer.content)
    elif is_not_ready(answer):
        kind, body = ServerError, {"message": _NOT_READY}
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
    body = _json_or_none(answer)
    if not isinstance(body, dict):
        return {} if body is not None else {"message": answer.content[:200].decode("utf-8", "replace").strip()}
    return {**body, "message": body.get("message") or body.get("detail")}


def _json_or_none(answer: Answer) -> object:
    try:
        return answer.json()
    except ValueError:
        return None


def _storage_error(content: bytes) -> dict[str, object]:
    text = content.decode("utf-8", "replace")
    found = {name.lower(): re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL) for name in ("Code", "Message")}
    return {name: match[1] for name, match in found.items() if match}


def _named(request: Request) -> tuple[str, str]:
    # Without the query, in which a storage address carries its signature.
    return request.method, request.url.partition("?")[0]
