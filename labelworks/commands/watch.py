"""``watch``: following several jobs until all of them have ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from labelworks.client import Labelworks
from labelworks.commands.connection import ApiKey, BaseUrl, connect
from labelworks.commands.console import EXIT_INCOMPLETE, AsJson, console, print_json, reported, say
from labelworks.errors import InputError
from labelworks.operations.batches import LISTED_JOBS, LONGEST_OUTAGE_SECONDS
from labelworks.operations.retries import PASSING_ERRORS
from labelworks.progress import Progress as State
from labelworks.progress import duration
from labelworks.types import Batch

_POLL_SECONDS = 1.0
_PLAIN_LINE_SECONDS = 5.0

Show = Callable[[Batch], None]


def watch(
    job_ids: Annotated[
        list[str] | None,
        typer.Argument(help="The jobs' ids; by default those of the 20 newest jobs that are processing."),
    ] = None,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Follow jobs until all have ended. Exit code 3 unless all are completed. Ctrl-C leaves them running.

    A job that was not started is told and not waited for. A service that does not answer is asked again for 15 minutes.
    """
    with reported(as_json), connect(api_key, base_url) as client, _shown_jobs() as show:
        watched = job_ids or _processing(client)
        if not watched:
            say("No job is processing.")
        batches: dict[str, Batch] = {}
        answered = monotonic()
        while True:
            try:
                for job_id in watched:
                    if job_id not in batches or batches[job_id].status == "processing":
                        batches[job_id] = client.batches.retrieve(job_id)
                        answered = monotonic()
                        show(batches[job_id])
            except PASSING_ERRORS as error:
                left = answered + LONGEST_OUTAGE_SECONDS - monotonic()
                if left <= 0:
                    raise
                say(f"{error}; asking again for up to {duration(left)}")
            else:
                if all(batch.status != "processing" for batch in batches.values()):
                    break
            time.sleep(_POLL_SECONDS)
    for batch in batches.values():
        if batch.status == "pending":
            say(f"{batch.job_id} was not started. Start it with: labelworks start {batch.job_id}")
    if as_json:
        print_json(list(batches.values()))
    if any(batch.status != "completed" for batch in batches.values()):
        raise typer.Exit(EXIT_INCOMPLETE)


def _processing(client: Labelworks) -> list[str]:
    """Raises InputError where only jobs that are not listed may be processing."""
    newest = client.batches.list()
    found = [batch.job_id for batch in newest if batch.status == "processing"]
    if not found and len(newest) >= LISTED_JOBS:
        raise InputError(
            f"None of the {len(newest)} newest jobs is processing, and older ones are not listed: give the ids of those"
            " to watch"
        )
    return found


@contextmanager
def _shown_jobs() -> Iterator[Show]:
    if not sys.stderr.isatty():
        yield _PlainJobs()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[stage]:<11}", style="bold", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, int] = {}

        def show(batch: Batch) -> None:
            if batch.job_id not in tasks:
                tasks[batch.job_id] = bars.add_task(batch.job_id, total=1.0, stage="", detail="")
            state = State.of(batch)
            bars.update(
                tasks[batch.job_id],  # type: ignore[arg-type]
                completed=1.0 if batch.status == "completed" else state.fraction,
                stage=state.stage,
                detail=_detail(batch),
            )

        yield show


class _PlainJobs:
    """A line for a job whenever its stage changes, and every few seconds."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, float]] = {}

    def __call__(self, batch: Batch) -> None:
        stage = State.of(batch).stage
        before, when = self._told.get(batch.job_id, ("", 0.0))
        if stage != before or monotonic() - when >= _PLAIN_LINE_SECONDS:
            self._told[batch.job_id] = (stage, monotonic())
            print(f"{batch.job_id} {stage}: {_detail(batch)}", file=sys.stderr, flush=True)


def _detail(batch: Batch) -> str:
    if batch.status == "failed":
        return batch.error or "no reason was given"
    state = State.of(batch)
    return f"{state.amounts()}  {state.pace()}".rstrip()
