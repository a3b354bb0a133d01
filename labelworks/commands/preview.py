"""``preview``: trying out labels on a few texts, with answers at once."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.markup import escape
from rich.table import Table

from labelworks.client import Labelworks
from labelworks.commands import task_options as task
from labelworks.commands.classify import TextField
from labelworks.commands.connection import ApiKey, BaseUrl, connect
from labelworks.commands.console import AsJson, print_json, print_table, reported
from labelworks.errors import InputError
from labelworks.inputs import InputFile
from labelworks.types import DEFAULT_THRESHOLD, PreviewResult, PreviewTask, Task


def preview(
    texts: Annotated[list[str] | None, typer.Argument(help="The texts, if not those of a file.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", exists=True, dir_okay=False, help="Take the texts from its beginning.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=1000, help="How many of FILE.")] = 20,
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
    """Classify a few texts at once, as a job would, to try out labels before millions of rows are paid for."""
    if bool(texts) == bool(file):
        raise typer.BadParameter("give either texts or --file FILE")
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
        tried = texts or _first_texts(InputFile(cast(Path, file), text_field), rows)
        results = _answered_as_by_a_job(client, tried, wanted)
    if as_json:
        print_json(results)
    else:
        _show(tried, results)


def _answered_as_by_a_job(client: Labelworks, texts: list[str], wanted: Task) -> list[PreviewResult]:
    wanted = client.classifiers.with_mode(wanted)
    several = wanted.pop("mode", None) == "multi"
    if several and wanted.get("classifier") is None:
        wanted.setdefault("threshold", DEFAULT_THRESHOLD)
    answered = client.preview.tag_batch if several else client.preview.classify_batch
    return answered(texts, **cast(PreviewTask, wanted))


def _first_texts(file: InputFile, rows: int) -> list[str]:
    items = (_text(item, file.text_field) for item in file.items())
    texts = list(islice((text for text in items if text is not None), rows))
    if not texts:
        raise InputError(f"{file.path.name} has no text in a field {file.text_field!r}")
    return texts


def _text(item: dict[str, Any] | None, text_field: str) -> str | None:
    text = item.get(text_field) if item else None
    return text if isinstance(text, str) else None


def _show(texts: list[str], results: list[PreviewResult]) -> None:
    table = Table(box=None, header_style="bold", expand=True)
    table.add_column("text", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("labels")
    for text, result in zip(texts, results, strict=True):
        found = ", ".join(f"[cyan]{escape(each.label)}[/] {each.confidence:.2f}" for each in result.labels)
        # A terminal takes no half of a surrogate pair.
        shown = text.encode("utf-8", "replace").decode()
        table.add_row(
            escape(shown), f"[red]{escape(result.error.code)}[/]" if result.error else found or "[dim]none[/]"
        )
    print_table(table, markup=True)
