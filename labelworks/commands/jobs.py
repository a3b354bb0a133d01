"""Commands on jobs that exist: start, status, results, list, cancel, delete."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from labelworks.commands.connection import ApiKey, BaseUrl, connect
from labelworks.commands.console import EXIT_INCOMPLETE, AsJson, local_time, print_json, print_table, reported, say
from labelworks.operations.downloads import require_writable, written_whole
from labelworks.progress import duration, shown_progress
from labelworks.types import Batch

JobId = Annotated[str, typer.Argument(help="The job's id: batch_…")]
JobIds = Annotated[list[str], typer.Argument(help="The jobs' ids.")]


def start(job_id: JobId, api_key: ApiKey = None, base_url: BaseUrl = None, as_json: AsJson = False) -> None:
    """Start a job whose file is uploaded, or one that failed or was cancelled; that one goes on where it ended."""
    with reported(as_json), connect(api_key, base_url) as client:
        client.batches.start(job_id)
        batch = client.batches.retrieve(job_id)
    if as_json:
        print_json(batch)
    else:
        say(f"Started. Next: labelworks watch {job_id}")


def status(job_id: JobId, api_key: ApiKey = None, base_url: BaseUrl = None, as_json: AsJson = False) -> None:
    """Show a job's state. Exit code 3 for a failed job."""
    with reported(as_json), connect(api_key, base_url) as client:
        batch = client.batches.retrieve(job_id)
    if as_json:
        print_json(batch)
    else:
        for field in fields(Batch):
            value = getattr(batch, field.name)
            if value is not None:
                print(f"{field.name:<20} {_shown(field.name, value)}")
    if batch.status == "failed":
        raise typer.Exit(EXIT_INCOMPLETE)


def results(
    job_id: JobId,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where the results go; - for standard output.", show_default="JOB.ndjson"),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help='What is finished so far; "item" counts the file\'s items from 0.')
    ] = False,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Download a completed job's results. An interrupted download goes on where it was when it is called again."""
    path = out or Path(f"{job_id}.partial.ndjson" if partial else f"{job_id}.ndjson")
    with reported(as_json), connect(api_key, base_url) as client:
        if str(path) != "-":
            require_writable(path)
        if partial:
            with nullcontext(sys.stdout.buffer) if str(path) == "-" else written_whole(path) as file:
                for item, line in client.batches.raw_partial_results(job_id):
                    file.write(b'{"item":%d,%b\n' % (item, line.removeprefix(b"{")))
            if str(path) == "-":
                return
        elif str(path) == "-":
            for piece in client.batches.raw_results(job_id):
                sys.stdout.buffer.write(piece)
            return
        else:
            with shown_progress() as show:
                client.batches.download(job_id, path, on_progress=show)
    if as_json:
        print_json({"job_id": job_id, "results_path": str(path)})
    else:
        say(f"Results: {path}")


def list_jobs(api_key: ApiKey = None, base_url: BaseUrl = None, as_json: AsJson = False) -> None:
    """List the account's 20 newest jobs."""
    with reported(as_json), connect(api_key, base_url) as client:
        batches = client.batches.list()
    if as_json:
        print_json(batches)
        return
    table = Table(box=None, header_style="bold")
    for name, justify in (("job", "left"), ("status", "left"), ("items", "right"), ("errors", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("created", no_wrap=True)
    for batch in batches:
        going = f" {batch.progress:.0%}" if batch.status == "processing" and batch.progress is not None else ""
        table.add_row(
            batch.job_id,
            f"{batch.status}{going}",
            f"{batch.requests_total:,}",
            f"{batch.requests_failed:,}",
            local_time(batch.created_at),
        )
    print_table(table)


def cancel(job_id: JobId, api_key: ApiKey = None, base_url: BaseUrl = None, as_json: AsJson = False) -> None:
    """Stop a job that is processing. It can be started again and goes on where it was."""
    with reported(as_json), connect(api_key, base_url) as client:
        batch = client.batches.cancel(job_id)
    if as_json:
        print_json(batch)
    else:
        say(f"{job_id} is {batch.status}")


def delete(
    job_ids: JobIds,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete jobs with all their files."""
    if not yes:
        typer.confirm(f"Delete {', '.join(job_ids)} with input and results?", abort=True, err=True)
    with reported(as_json), connect(api_key, base_url) as client:
        for job_id in job_ids:
            client.batches.delete(job_id)
            if not as_json:
                say(f"Deleted {job_id}")
    if as_json:
        print_json({"deleted": job_ids})


def _shown(name: str, value: object) -> str:
    if isinstance(value, datetime):
        return local_time(value, seconds=True)
    if name == "progress" and isinstance(value, float):
        return f"{value:.0%}"
    if name == "eta_seconds" and isinstance(value, float):
        return duration(value)
    if name == "cost_usd":
        return f"${value:.6f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
