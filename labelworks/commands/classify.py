"""``classify`` and ``submit``: from a file to a job, and from a job to its results."""

from __future__ import annotations

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
from labelworks.commands.console import EXIT_INTERRUPTED, AsJson, print_json, reported, say
from labelworks.errors import BatchFailedError, ConflictError
from labelworks.inputs import InputFile
from labelworks.progress import shown_progress
from labelworks.types import Batch, Task

File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="NDJSON, CSV, TSV or Parquet; .gz but for Parquet.")
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

    Ctrl-C asks whether to cancel the job or to leave it running.
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
        job_id = _submit(client, InputFile(file, text_field), wanted)
        batch = _watch(client, job_id)
        with shown_progress() as show:
            client.batches.download(job_id, results, on_progress=show)
    if as_json:
        print_json({"batch": batch, "results_path": str(results)})
    else:
        _summarize(batch, results)


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
        client.batches.upload(created, source, on_progress=show)
    try:
        client.batches.start(created.job_id)
    except ConflictError:
        say(f"The file is uploaded; start its job later with: labelworks start {created.job_id}")
        raise
    return created.job_id


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
            if _wants_to_cancel(job_id):
                client.batches.cancel(job_id)
                raise BatchFailedError(client.batches.retrieve(job_id)) from None


def _wants_to_cancel(job_id: str) -> bool:
    """What Ctrl-C was to mean: True for cancel, False for going on watching; detaching ends the command."""
    choice = "d"
    if sys.stdin.isatty():
        choice = typer.prompt("\nc: cancel the job, d: leave it running, w: go on watching", default="w", err=True)[:1]
    if choice == "d":
        say(f"The job goes on. labelworks watch {job_id}; labelworks results {job_id}; labelworks cancel {job_id}")
        raise typer.Exit(EXIT_INTERRUPTED)
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
