"""The calls about an account: its keys and its usage."""

from __future__ import annotations

import builtins
from datetime import date, datetime
from urllib.parse import quote

from labelworks.errors import InputError, NotFoundError
from labelworks.operations.effects import Operation
from labelworks.operations.service import Service
from labelworks.types import CreatedKey, Key, UsageReport


class KeyOperations:
    """Each call, as an operation. ``account`` is for the operator's admin key, which may name any account."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def create(
        self, *, name: str | None = None, expires_at: datetime | None = None, account: str | None = None
    ) -> Operation[CreatedKey]:
        """Make a key. What is returned holds the secret, ``key``, which cannot be read again.

        Not repeated where its answer was lost: APIConnectionError then means that ``list`` may show a key whose secret
        nobody knows, to be revoked. Raises InputError for a time without a time zone.
        """
        if expires_at is not None and expires_at.tzinfo is None:
            raise InputError("expires_at has no time zone: pass datetime(…, tzinfo=UTC)")
        wanted = {"name": name, "expires_at": expires_at and expires_at.isoformat(), "account": account}
        body = {field: value for field, value in wanted.items() if value is not None}
        answer = yield from self._service.call("POST", "/v1/keys", json=body, at_most_once=True)
        return answer.read(CreatedKey.from_json)

    def list(self, *, account: str | None = None) -> Operation[builtins.list[Key]]:
        """The account's keys without their secrets, oldest first."""
        answer = yield from self._service.call("GET", "/v1/keys", query={"account": account})
        return answer.read(Key.list_from_json)

    def revoke(self, key_id: str, *, account: str | None = None) -> Operation[None]:
        """Revoke a key; it stops working within seconds. Raises ConflictError for the account's last one."""
        if not key_id:
            raise InputError("The key's id is empty; it is what list gives")
        try:
            yield from self._service.call("DELETE", f"/v1/keys/{quote(key_id, safe='')}", query={"account": account})
        except NotFoundError as error:
            # Gone by an earlier attempt of this same call.
            if not error.repeated:
                raise


class UsageOperations:
    """Each call, as an operation."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def retrieve(
        self, first: date | str | None = None, last: date | str | None = None, *, account: str | None = None
    ) -> Operation[UsageReport]:
        """What the account used on each day (UTC) from ``first`` to ``last``; by default the last 30 days.

        A day may be written as 2026-11-25; raises InputError for another string. ``account`` is for the operator's
        admin key, which may name any account.
        """
        days = {"from": _day(first), "to": _day(last)}
        answer = yield from self._service.call("GET", "/v1/usage", query={**days, "account": account})
        return answer.read(UsageReport.from_json)


def _day(told: date | str | None) -> str | None:
    if not isinstance(told, str):
        return None if told is None else told.isoformat()
    try:
        return date.fromisoformat(told).isoformat()
    except ValueError:
        raise InputError(f"{told!r} is not a day; write one as 2026-11-25, or pass datetime.date(…)") from None
