"""The command line: ``labelworks --help``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from labelworks.commands.account import create_key, list_keys, revoke_key, usage
from labelworks.commands.classifiers import create_classifier, delete_classifier, list_classifiers, show_classifier
from labelworks.commands.classify import classify, submit
from labelworks.commands.console import EXIT_CODES
from labelworks.commands.doctor import doctor
from labelworks.commands.jobs import cancel, delete, list_jobs, results, start, status
from labelworks.commands.preview import preview
from labelworks.commands.stack import demo, dev, env
from labelworks.commands.validate import validate
from labelworks.commands.watch import watch

_JOBS = "Jobs"
_ACCOUNT = "The account"
_SERVICE = "The service on this machine"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, epilog=EXIT_CODES)
classifiers = typer.Typer(no_args_is_help=True, help="Labels that are saved under a name.")
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
app.command(rich_help_panel=_JOBS)(preview)
app.add_typer(classifiers, name="classifiers", rich_help_panel=_ACCOUNT)
classifiers.command("create")(create_classifier)
classifiers.command("list")(list_classifiers)
classifiers.command("show")(show_classifier)
classifiers.command("delete")(delete_classifier)
app.add_typer(keys, name="keys", rich_help_panel=_ACCOUNT)
keys.command("create")(create_key)
keys.command("list")(list_keys)
keys.command("revoke")(revoke_key)
app.command(rich_help_panel=_ACCOUNT)(usage)
app.command(rich_help_panel=_SERVICE)(dev)
app.command(rich_help_panel=_SERVICE)(env)
app.command(rich_help_panel=_SERVICE)(demo)
app.command(rich_help_panel=_SERVICE)(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("labelworks"))
        raise typer.Exit


@app.callback()
def labelworks(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Batch text classification on your own machines."""


def main() -> None:
    """The entry point of the ``labelworks`` command."""
    app(prog_name="labelworks")
