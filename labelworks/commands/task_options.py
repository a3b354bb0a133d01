"""The options that say what to classify into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from labelworks.types import Task

_PANEL = "Task"

Labels = Annotated[
    str | None, typer.Option("--labels", help="The labels, separated by commas.", rich_help_panel=_PANEL)
]
Label = Annotated[
    list[str] | None,
    typer.Option("--label", help="One label, which may hold commas; give it several times.", rich_help_panel=_PANEL),
]
Description = Annotated[
    list[str] | None,
    typer.Option("--description", metavar="LABEL=TEXT", help="What a label means.", rich_help_panel=_PANEL),
]
Example = Annotated[
    list[str] | None,
    typer.Option("--example", metavar="LABEL=TEXT", help="A text that has a label.", rich_help_panel=_PANEL),
]
SourceType = Annotated[
    str | None,
    typer.Option("--source-type", help='What the texts are, such as "app review".', rich_help_panel=_PANEL),
]
ModeOption = Annotated[
    Literal["single", "multi"] | None,
    typer.Option("--mode", help="One label a text, or every one over the threshold.", rich_help_panel=_PANEL),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=0,
        max=1,
        help="With --mode multi: labels at or over it are given; if left out, 0.3 or the classifier's own.",
        rich_help_panel=_PANEL,
    ),
]
Classifier = Annotated[
    str | None, typer.Option("--classifier", help="A saved classifier, instead of labels.", rich_help_panel=_PANEL)
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="One of the engines that the operator allows.", rich_help_panel=_PANEL),
]
TaskFile = Annotated[
    Path | None,
    typer.Option(
        "--task",
        exists=True,
        dir_okay=False,
        help="A JSON file with these fields, as of POST /v1/batch; where an option says the same, the option holds.",
        rich_help_panel=_PANEL,
    ),
]


def task_of(
    *,
    labels: str | None,
    label: list[str] | None,
    description: list[str] | None,
    example: list[str] | None,
    source_type: str | None,
    mode: str | None,
    threshold: float | None,
    classifier: str | None,
    model: str | None,
    task_file: Path | None,
) -> Task:
    """The task that the options describe. Raises typer.BadParameter where they do not make one."""
    task: dict[str, Any] = _read(task_file) if task_file else {}
    given = [part.strip() for part in (labels or "").split(",") if part.strip()] + (label or [])
    told: dict[str, Any] = {
        "labels": given,
        "descriptions": dict(_pair(entry, "--description") for entry in description or []),
        "examples": _grouped([_pair(entry, "--example") for entry in example or []]),
        "source_type": source_type,
        "mode": mode,
        "classifier": classifier,
        "model": model,
    }
    task |= {name: value for name, value in told.items() if value}
    if threshold is not None:
        task["threshold"] = threshold
    if not task.get("labels") and not task.get("classifier"):
        raise typer.BadParameter("say what to classify into: --labels a,b,c or --task FILE or --classifier NAME")
    return cast(Task, task)


def _read(path: Path) -> dict[str, Any]:
    try:
        task = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}") from error
    if not isinstance(task, dict):
        raise typer.BadParameter(f"{path} must hold a JSON object")
    return task


def _pair(entry: str, option: str) -> tuple[str, str]:
    label, separator, text = entry.partition("=")
    if not separator or not label.strip() or not text.strip():
        raise typer.BadParameter(f"{option} must be LABEL=TEXT, not {entry!r}")
    return label.strip(), text.strip()


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for label, text in pairs:
        grouped.setdefault(label, []).append(text)
    return grouped
