"""Where the service is and how it is called."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

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

    def call(self, method: str, path: str, *, json: Any = None, once: bool = False) -> Operation[Answer]:
        """The answer to an authenticated call, after retries. Raises APIStatusError or APIConnectionError.

        ``once``: the service is to carry it out once, however often it is repeated.
        """
        headers = {"Authorization": f"Bearer {self.api_key}", "Accept": "application/json"}
        if once:
            headers["Idempotency-Key"] = secrets.token_hex(16)
        request = Request(method, f"{self.base_url}{path}", headers, json=json, timeout=self.timeout)
        return (yield from answered(request, self.retries))
