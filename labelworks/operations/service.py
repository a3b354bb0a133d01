"""Where the service is and how it is called."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from labelworks.operations.effects import Answer, Operation, Request
from labelworks.operations.retries import RetryPolicy, answered


@dataclass(frozen=True, slots=True)
class Service:
    """The address of an account's API. ``repr`` does not show the key."""

    base_url: str
    api_key: str
    timeout: float
    retries: RetryPolicy

    def __repr__(self) -> str:
        return f"Service({self.base_url!r})"

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        json: Any = None,
        once: bool = False,
        at_most_once: bool = False,
        until: float | None = None,
    ) -> Operation[Answer]:
        """The answer to an authenticated call, after retries. Raises APIStatusError or APIConnectionError.

        A good one is JSON or empty; another is an UnexpectedAnswerError.

        What is None in ``query`` is left out. ``once``: the service is to carry it out once, however often it is
        repeated; ``at_most_once``: it cannot, so the call is not repeated where it may have been carried out.
        ``until``: as of ``answered``.
        """
        headers = {"Authorization": f"Bearer {self.api_key}", "Accept": "application/json"}
        if once:
            headers["Idempotency-Key"] = secrets.token_hex(16)
        asked = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        url = f"{self.base_url}{path}?{asked}" if asked else f"{self.base_url}{path}"
        request = Request(method, url, headers, json=json, timeout=self.timeout)
        answer = yield from answered(request, self.retries, at_most_once=at_most_once, until=until)
        if answer.content:
            answer.read(lambda body: body)
        return answer
