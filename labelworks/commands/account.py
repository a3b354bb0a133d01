"""``keys`` and ``usage``: what belongs to an account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.table import Table

from labelworks.commands.connection import LOCAL_DATA, ApiKey, BaseUrl, connect
from labelworks.commands.console import AsJson, local_time, print_json, print_table, reported, say
from labelworks.commands.stack import DataFolder, create_stored_key

Account = Annotated[
    str | None, typer.Option("--account", help="Whose; only with the operator's admin key as --api-key.")
]
# A thousand years: the calendar ends in 9999.
_MAX_DAYS = 365_000
_DAY: dict[str, Any] = {"formats": ["%Y-%m-%d"], "metavar": "YYYY-MM-DD"}


def create_key(
    stored_account: Annotated[
        str | None, typer.Argument(metavar="ACCOUNT", help="For the operator: make it straight in the storage.")
    ] = None,
    data: DataFolder = LOCAL_DATA,
    name: Annotated[str | None, typer.Option("--name", help="What the key is for.")] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=_MAX_DAYS, help="When it expires; never if not given.")
    ] = None,
    account: Account = None,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it. It is stored as a hash and cannot be shown again.

    Without ACCOUNT the service makes it, for the account of the key that asks. With ACCOUNT no key is needed, but
    access to the storage: that of the stack on this machine, or the one that LABELWORKS_S3_… name.
    """
    if stored_account is not None:
        given = {"--name": name, "--days": days, "--account": account, "--json": as_json or None}
        if wrong := [option for option, value in given.items() if value is not None]:
            raise typer.BadParameter(f"{wrong[0]} goes with a key made by the service; leave out ACCOUNT")
        print(create_stored_key(stored_account, data))
        return
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with reported(as_json), connect(api_key, base_url) as client:
        created = client.keys.create(name=name, expires_at=expires_at, account=account)
    if as_json:
        print_json(created)
    else:
        print(created.key)
        say(f"{created.id} of account {created.account}. It is not shown again.")


def list_keys(
    account: Account = None, api_key: ApiKey = None, base_url: BaseUrl = None, as_json: AsJson = False
) -> None:
    """List the account's keys, without their secrets."""
    with reported(as_json), connect(api_key, base_url) as client:
        keys = client.keys.list(account=account)
    if as_json:
        print_json(keys)
        return
    table = Table("id", "begins", "name", "created", "expires", box=None, header_style="bold")
    for key in keys:
        expires = local_time(key.expires_at) if key.expires_at else "never"
        table.add_row(key.id, key.prefix, key.name or "", local_time(key.created_at), expires)
    print_table(table)


def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The key's id, as labelworks keys list shows it.")],
    account: Account = None,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key. It stops working within seconds."""
    with reported(as_json), connect(api_key, base_url) as client:
        client.keys.revoke(key_id, account=account)
    if as_json:
        print_json({"revoked": key_id})
    else:
        say(f"Revoked {key_id}")


def usage(
    first: Annotated[
        datetime | None, typer.Option("--from", help="The first day (UTC); by default 29 days before the last.", **_DAY)
    ] = None,
    last: Annotated[datetime | None, typer.Option("--to", help="The last day (UTC); by default today.", **_DAY)] = None,
    account: Account = None,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show what the account used: jobs, items, tokens and cost, by day."""
    with reported(as_json), connect(api_key, base_url) as client:
        report = client.usage.retrieve(first and first.date(), last and last.date(), account=account)
    if as_json:
        print_json(report)
        return
    table = Table(box=None, header_style="bold", show_footer=True)
    table.add_column("day", "total")
    for name in ("jobs", "items", "items_failed", "calls", "tokens"):
        table.add_column(name.replace("_", " "), f"{getattr(report.total, name):,}", justify="right")
    table.add_column("cost", f"${report.total.cost_usd:.4f}", justify="right")
    for day in report.days:
        if day.jobs or day.calls:
            amounts = (day.jobs, day.items, day.items_failed, day.calls, day.tokens)
            table.add_row(f"{day.date}", *(f"{amount:,}" for amount in amounts), f"${day.cost_usd:.4f}")
    print_table(table)
