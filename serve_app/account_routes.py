"""The calls about an account: its keys and its usage. All of them are ours."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BeforeValidator

from serve_app.account_schemas import CreateKey, KeyCreated, KeyListed, KeyRevoked, UsageReport
from serve_app.accounts import list_keys, new_key
from serve_app.dependencies import CurrentCaller, Serving, error_responses, managed_account
from serve_app.exceptions import RequestInvalid

_DEFAULT_DAYS = 30
_MAX_DAYS = 366
_DAY_PATTERN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

keys_and_usage = APIRouter(prefix="/v1", tags=["account"])

KeyId = Annotated[str, Path(examples=["key_3f0c9a51d27be846"])]


def _day(value: Any) -> Any:
    if isinstance(value, str) and not _DAY_PATTERN.fullmatch(value):
        raise ValueError("must be a day such as 2026-11-24")
    return value


Day = Annotated[date, BeforeValidator(_day)]
AccountQuery = Annotated[
    str | None, Query(description="With the admin key: whose. Other keys know their own account only.")
]


@keys_and_usage.post("/keys", status_code=201, summary="Make a key", responses=error_responses(404, 409))
async def create_key(caller: CurrentCaller, services: Serving, body: CreateKey | None = None) -> KeyCreated:
    """The answer holds the secret, which cannot be shown again. It may be used at once.

    A 503 means that no key was made. Where that is not known the answer is a 500 with the code `KEY_UNCERTAIN` and the
    key's id in `details`: should the list of keys hold it, revoke it before you make another.
    """
    wanted = body or CreateKey()
    account = managed_account(caller, wanted.account)
    issued = new_key(account, name=wanted.name, expires_at=wanted.expires_at)
    await services.registry.add_key(issued.key, issued.key_hash)
    return KeyCreated.issued(issued)


@keys_and_usage.get("/keys", summary="The account's keys", responses=error_responses(404))
async def retrieve_keys(caller: CurrentCaller, services: Serving, account: AccountQuery = None) -> list[KeyListed]:
    """Oldest first, without their secrets, expired ones too."""
    found = await asyncio.to_thread(list_keys, services.store, managed_account(caller, account))
    return [KeyListed.of(key) for key in found]


@keys_and_usage.delete("/keys/{key_id}", summary="Revoke a key", responses=error_responses(404, 409))
async def delete_key(
    key_id: KeyId, caller: CurrentCaller, services: Serving, account: AccountQuery = None
) -> KeyRevoked:
    """It stops working within seconds. A key may revoke itself, unless it is the account's last valid one: 409."""
    owner = managed_account(caller, account)
    await services.registry.revoke_key(owner, key_id, keep_one=caller.account is not None)
    services.keys.forget(key_id)
    return KeyRevoked(id=key_id)


@keys_and_usage.get("/usage", summary="Usage by day", responses=error_responses(404))
async def usage(
    caller: CurrentCaller,
    services: Serving,
    first: Annotated[Day | None, Query(alias="from", description="29 days before `to` if left out.")] = None,
    last: Annotated[Day | None, Query(alias="to", description="Today (UTC) if left out.")] = None,
    account: AccountQuery = None,
) -> UsageReport:
    """A completed job counts once, on the day on which it completed (UTC), also when it is deleted later.

    Preview calls are here about a second after they were answered; those of the last second are lost when the process
    that answered them is killed.
    """
    last = last or datetime.now(UTC).date()
    first = first or date.fromordinal(max(last.toordinal() - _DEFAULT_DAYS + 1, 1))
    days = (last - first).days + 1
    if not 1 <= days <= _MAX_DAYS:
        raise RequestInvalid(f"from: must lie 0 to {_MAX_DAYS - 1} days before to, not {days - 1:,}", field="from")
    owner = managed_account(caller, account)
    used = await asyncio.to_thread(services.usage.by_day, owner, first, last)
    return UsageReport.of(owner, first, last, used, services.settings.price_per_million_tokens_usd)
