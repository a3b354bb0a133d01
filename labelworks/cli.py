"""The command line: ``labelworks --help``."""

from __future__ import annotations

import typer

from labelworks.commands.classify import classify, submit
from labelworks.commands.doctor import doctor
from labelworks.commands.jobs import cancel, delete, list_jobs, results, start, status
from labelworks.commands.stack import create_api_key, demo, dev
from labelworks.commands.validate import validate
from labelworks.commands.watch import watch

_JOBS = "Jobs"
_SERVICE = "The service on this machine"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Batch text classification on your own machines.",
)
keys = typer.Typer(no_args_is_help=True, help="API keys of the service.")

app.command(rich_help_panel=_JOBS)(classify)
app.command(rich_help_panel=_JOBS)(submit)
app.command(rich_help_panel=_JOBS)(start)
app.command(rich_help_panel=_JOBS)(status)
app.command(rich_help_panel=_JOBS)(watch)
app.command(rich_help_panel=_JOBS)(results)
app.command("list", rich_help_panel=_JOBS)(list_jobs)
app.command(rich_help_panel=_JOBS)(cancel)
app.command(rich_help_panel=_JOBS)(delete)
app.command(rich_help_panel=_JOBS)(validate)
app.command(rich_help_panel=_SERVICE)(dev)
app.command(rich_help_panel=_SERVICE)(demo)
app.command(rich_help_panel=_SERVICE)(doctor)
app.add_typer(keys, name="keys", rich_help_panel=_SERVICE)
keys.command("create")(create_api_key)


def main() -> None:
    """The entry point of the ``labelworks`` command."""
    app()
