"""``classify`` and ``submit``: from a file to a job, and from a job to its results."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from labelworks.classified import read_results
from labelworks.client import Labelworks
from labelworks.commands import task_options as task
from labelworks.commands.connection import ApiKey, BaseUrl, connect
from labelworks.commands.console import EXIT_INCOMPLETE, AsJson, print_json, reported, say
from labelworks.errors import BatchFailedError, ConflictError, LabelworksError, UnsupportedError
from labelworks.inputs import InputFile
from labelworks.operations.downloads import require_writable
from labelworks.progress import shown_progress
from labelworks.types import Batch, Task

_QUESTION = "\nc: cancel the job, d: leave it running, w: go on watching"

File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="NDJSON, CSV or TSV (each may be .gz), or Parquet.")
]
TextField = Annotated[str, typer.Option("--text-field", help="The field or column that holds the texts.")]


def classify(
    file: File,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the results go.", show_default="FILE.results.ndjson")
    ] = None,
    text_field: TextField = "text",
    labels: task.Labels = None,
    label: task.Label = None,
    description: task.Description = None,
    example: task.Example = None,
    source_type: task.SourceType = None,
    mode: task.ModeOption = None,
    threshold: task.Threshold = None,
    classifier: task.Classifier = None,
    model: task.Model = None,
    task_file: task.TaskFile = None,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Classify FILE and wait for the results: line N of the result file answers item N.

    Exit code 3 where lines are answered with an error. Ctrl-C asks whether to cancel the job or to leave it running.
    """
    wanted = task.task_of(
        labels=labels,
        label=label,
        description=description,
        example=example,
        source_type=source_type,
        mode=mode,
        threshold=threshold,
        classifier=classifier,
        model=model,
        task_file=task_file,
    )
    results = out or file.with_name(f"{file.name}.results.ndjson")
    with reported(as_json), connect(api_key, base_url) as client:
        require_writable(results, source=file)
        job_id = _submit(client, InputFile(file, text_field), wanted)
        say(f"Started {job_id}")
        with _named(job_id, results):
            batch = _watch(client, job_id)
            with shown_progress() as show:
                client.batches.download(job_id, results, on_progress=show)
    if as_json:
        print_json({"batch": batch, "results_path": str(results)})
    else:
        _summarize(batch, results)
    if batch.requests_failed:
        raise typer.Exit(EXIT_INCOMPLETE)


def submit(
    file: File,
    text_field: TextField = "text",
    labels: task.Labels = None,
    label: task.Label = None,
    description: task.Description = None,
    example: task.Example = None,
    source_type: task.SourceType = None,
    mode: task.ModeOption = None,
    threshold: task.Threshold = None,
    classifier: task.Classifier = None,
    model: task.Model = None,
    task_file: task.TaskFile = None,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Create a job for FILE, upload it, start it and print the job's id."""
    wanted = task.task_of(
        labels=labels,
        label=label,
        description=description,
        example=example,
        source_type=source_type,
        mode=mode,
        threshold=threshold,
        classifier=classifier,
        model=model,
        task_file=task_file,
    )
    with reported(as_json), connect(api_key, base_url) as client:
        job_id = _submit(client, InputFile(file, text_field), wanted)
        batch = client.batches.retrieve(job_id)
    if as_json:
        print_json(batch)
    else:
        print(job_id)
        say(f"Started. Next: labelworks watch {job_id}")


def _submit(client: Labelworks, file: InputFile, wanted: Task) -> str:
    with _ready(file) as source, shown_progress() as show:
        created = client.batches.create(**wanted)
        with _removed_unless_uploaded(client, created.job_id):
            client.batches.upload(created, source, on_progress=show)
    try:
        client.batches.start(created.job_id)
    except (LabelworksError, KeyboardInterrupt):
        say(f"The file is uploaded; start its job later with: labelworks start {created.job_id}")
        raise
    return created.job_id


@contextmanager
def _removed_unless_uploaded(client: Labelworks, job_id: str) -> Iterator[None]:
    """There is no command that uploads to a job, so one whose upload was cut off is of no use."""
    try:
        yield
    except (LabelworksError, OSError, KeyboardInterrupt):
        try:
            client.batches.delete(job_id)
        except (LabelworksError, KeyboardInterrupt):
            say(f"Job {job_id} is left without a file; remove it with: labelworks delete {job_id}")
        else:
            say(f"The upload was not completed; its job {job_id} is removed.")
        raise


@contextmanager
def _named(job_id: str, results: Path) -> Iterator[None]:
    """Say how to get at a job that nobody waits for any more."""
    try:
        yield
    except BatchFailedError:
        raise
    except (LabelworksError, OSError, KeyboardInterrupt):
        say(f"Job {job_id} goes on: labelworks watch {job_id}; labelworks cancel {job_id}")
        say(f"When it has completed: labelworks results {job_id} --out {shlex.quote(str(results))}")
        raise


@contextmanager
def _ready(file: InputFile) -> Iterator[Path]:
    """The file as the service takes it: itself, or a converted copy while it is needed."""
    if file.is_ready:
        yield file.path
        return
    with TemporaryDirectory(prefix="labelworks-") as folder:
        converted = Path(folder, "input.ndjson")
        file.write_ndjson(converted)
        yield converted


def _watch(client: Labelworks, job_id: str) -> Batch:
    while True:
        try:
            # Within the loop, so that no bar is drawn over the question.
            with shown_progress() as show:
                return client.batches.wait(job_id, on_progress=show)
        except KeyboardInterrupt:
            if _wants_to_cancel():
                try:
                    raise BatchFailedError(client.batches.cancel(job_id)) from None
                except (ConflictError, UnsupportedError) as error:
                    # Most often it has completed meanwhile.
                    say(f"Not cancelled: {error}")


def _wants_to_cancel() -> bool:
    """What Ctrl-C was to mean: True for cancel, False for going on watching. Raises KeyboardInterrupt for detaching."""
    choice = "d"
    if sys.stdin.isatty():
        try:
            choice = typer.prompt(_QUESTION, default="w", err=True)[:1]
        except typer.Abort:
            # Ctrl-C again, or the end of the input.
            say("")
    if choice == "d":
        raise KeyboardInterrupt
    return choice == "c"


def _summarize(batch: Batch, results: Path) -> None:
    labels: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for result in read_results(results):
        labels.update(entry.label for entry in result.labels)
        if result.error:
            errors[result.error.code] += 1
    for label, count in labels.most_common(20):
        say(f"{count:>12,}  {label}")
    for code, count in errors.most_common():
        say(f"{count:>12,}  error: {code}")
    tokens = f"{batch.actual_tokens:,} tokens" if batch.actual_tokens is not None else "tokens not told"
    cost = f", ${batch.cost_usd:.4f}" if batch.cost_usd is not None else ""
    say(f"{batch.requests_completed:,} classified, {batch.requests_failed:,} errors, {tokens}{cost}")
    say(f"Results: {results}")
