"""``classifiers``: tasks that are saved under a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from labelworks.commands import task_options as task
from labelworks.commands.connection import ApiKey, BaseUrl, connect
from labelworks.commands.console import AsJson, local_time, print_json, print_table, reported, say
from labelworks.types import Classifier

Name = Annotated[str, typer.Argument(help="The name, or name@v2 for one version.")]


def create_classifier(
    name: Annotated[str, typer.Argument(help="A new name, or one that is to get another version.")],
    labels: task.Labels = None,
    label: task.Label = None,
    description: task.Description = None,
    example: task.Example = None,
    source_type: task.SourceType = None,
    mode: task.ModeOption = None,
    threshold: task.Threshold = None,
    task_file: task.TaskFile = None,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Save labels and what helps to tell them apart as NAME; print the version, such as reviews@v1."""
    wanted = task.task_of(
        labels=labels,
        label=label,
        description=description,
        example=example,
        source_type=source_type,
        mode=mode,
        threshold=threshold,
        classifier=None,
        model=None,
        task_file=task_file,
    )
    with reported(as_json), connect(api_key, base_url) as client:
        saved = client.classifiers.create(name, **wanted)
    if as_json:
        print_json(saved)
    else:
        print(saved.classifier)
        say(f"Saved. Next: labelworks classify FILE --classifier {name}")


def list_classifiers(api_key: ApiKey = None, base_url: BaseUrl = None, as_json: AsJson = False) -> None:
    """List the account's classifiers."""
    with reported(as_json), connect(api_key, base_url) as client:
        found = client.classifiers.list()
    if as_json:
        print_json(found)
        return
    table = Table("name", "newest", "versions", "mode", "labels", "created", box=None, header_style="bold")
    for entry in found:
        versions = ", ".join(f"v{version}" for version in entry.versions)
        created = local_time(entry.created_at)
        table.add_row(entry.name, f"v{entry.version}", versions, entry.mode, str(entry.label_count), created)
    print_table(table)


def show_classifier(name: Name, api_key: ApiKey = None, base_url: BaseUrl = None, as_json: AsJson = False) -> None:
    """Show what a classifier consists of."""
    with reported(as_json), connect(api_key, base_url) as client:
        found = client.classifiers.retrieve(name)
    if as_json:
        print_json(found)
        return
    threshold = f", threshold {found.threshold:g}" if found.mode == "multi" else ""
    source = f", {found.source_type}" if found.source_type else ""
    print(f"{found.classifier}: {found.mode}{threshold}{source}, saved {local_time(found.created_at)}")
    for label in found.labels:
        print("\n".join(_described(found, label, found.examples.get(label, ()))))


def delete_classifier(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    api_key: ApiKey = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete a classifier, or one version of it. Jobs that were created with it are not touched."""
    if not yes:
        typer.confirm(f"Delete {name}{'' if '@' in name else ' with all its versions'}?", abort=True, err=True)
    with reported(as_json), connect(api_key, base_url) as client:
        client.classifiers.delete(name)
    if as_json:
        print_json({"deleted": [name]})
    else:
        say(f"Deleted {name}")


def _described(found: Classifier, label: str, examples: Sequence[str]) -> list[str]:
    description = found.descriptions.get(label)
    return [f"  {label}{f': {description}' if description else ''}", *(f"      e.g. {text}" for text in examples)]
