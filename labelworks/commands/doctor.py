"""``doctor``: check a deployment, and say in plain words what to fix."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from labelworks.commands.connection import LOCAL_DATA
from labelworks.commands.console import EXIT_ERROR, AsJson, console, fail, print_json
from labelworks.commands.operator_settings import settings_checked
from labelworks.commands.stack import DataFolder, require_server_parts

if TYPE_CHECKING:
    from serve_app.doctor.finding import Finding


def doctor(
    data: DataFolder = LOCAL_DATA,
    config: Annotated[
        Path | None,
        typer.Option(help="The Serve config file of the deployment; its application's args are the settings."),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="The Ray cluster to look at (host:port); none: leave Ray out. Default: what RAY_ADDRESS names, else"
            " the stack's own, else the one on this machine."
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=1, help="How many seconds to wait for workers that the engines are tried on.")
    ] = 180,
    as_json: AsJson = False,
) -> None:
    """Check the deployment that the settings name: storage, links, clocks, Ray, the registry, the engines, and what the
    nodes that classify may do in the storage.

    Settings are read from --config, else from the environment (LABELWORKS_…), else from the stack that runs in the data
    folder. Exit code 1 when something is to be fixed; what cannot be tried while the cluster has no worker is told, and
    does not count.
    """
    # What the embedded stack and cluster.yaml run with; Ray reads it when it is imported.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    require_server_parts()
    from serve_app.doctor.cluster import examine_cluster
    from serve_app.doctor.models import examine_tokenizers
    from serve_app.doctor.storage import examine_storage
    from serve_app.embedded.administration import deployed_settings, operator_ray_address, operator_settings
    from serve_app.embedded.exceptions import EmbeddedStackError

    try:
        with settings_checked():
            settings = deployed_settings(config) if config else operator_settings(data)
    except EmbeddedStackError as error:
        fail(str(error))
    findings = []
    examinations = [examine_storage(settings), examine_tokenizers(settings)]
    if ray_address != "none":
        examinations.append(examine_cluster(settings, ray_address or operator_ray_address(data), wait))
    for examination in examinations:
        for finding in examination:
            findings.append(finding)
            if not as_json:
                _show(finding)
    bad = sum(finding.ok is False for finding in findings)
    untried = sum(finding.ok is None for finding in findings)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        verdict = f"{bad} to fix" if bad else "Nothing to fix" if untried else "All is well."
        console.print(f"{verdict}, {untried} not tried" if untried else verdict)
    if bad:
        raise typer.Exit(EXIT_ERROR)


def _show(finding: Finding) -> None:
    mark = {True: "[green]ok [/]", False: "[red]fix[/]", None: "[yellow]?  [/]"}[finding.ok]
    console.print(f"{mark} {escape(finding.check)}: {escape(finding.found)}", soft_wrap=True)
    if finding.advice:
        console.print(f"    → {escape(finding.advice)}", soft_wrap=True)
