"""``validate``: what the service would say to a file, without a service."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, BinaryIO, Literal

import typer

from labelworks.commands.classify import File, TextField
from labelworks.commands.console import EXIT_ERROR, EXIT_INCOMPLETE, AsJson, print_json, reported, say
from labelworks.commands.operator_settings import settings_checked
from labelworks.errors import InputError
from labelworks.inputs import InputFile
from labelworks.operations.batches import require_size
from labelworks.progress import duration

_SHOWN_ERRORS = 20
_SAMPLED_TEXTS = 4096
_HEAD_BYTES = 64 * 1024
# Of the default engine on two cores; the project's benchmark measures it.
_TOKENS_PER_SECOND = 20_000.0

_PRICE_PER_MILLION_TOKENS_USD = 0.08
_CHARACTERS_A_TOKEN = 4.4

CountTokens = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that would be answered with an error. ``line`` counts from 1, in a table its rows below the header."""

    line: int
    code: str
    message: str


@dataclass(slots=True)
class Report:
    """What a file holds. ``rejected`` says why the service would not take it at all."""

    items: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    first_errors: list[BadLine] = field(default_factory=list)
    estimated_tokens: int = 0
    tokens_from: Literal["model", "length"] = "model"
    estimated_cost_usd: float = 0.0
    estimated_seconds: float = 0.0
    rejected: str | None = None


def validate(
    file: File,
    text_field: TextField = "text",
    tokens_per_second: Annotated[
        float, typer.Option(min=1, help="What your service does, for the estimate of the duration.")
    ] = _TOKENS_PER_SECOND,
    price: Annotated[
        float,
        typer.Option(
            min=0, envvar="LABELWORKS_PRICE_PER_MILLION_TOKENS_USD", help="Dollars a million tokens, for the cost."
        ),
    ] = _PRICE_PER_MILLION_TOKENS_USD,
    as_json: AsJson = False,
) -> None:
    """Check FILE without a service: items, bad lines with their numbers, tokens, cost and duration.

    Tokens are counted as the default model does where it is installed, else estimated from the texts' length. Exit
    code 1 where the service would not take the file, 3 where some lines would be answered with an error.
    """
    counted = _model_counter()
    source = InputFile(file, text_field)
    with reported(as_json), TemporaryDirectory(prefix="labelworks-") as folder:
        path = file
        if not source.is_ready:
            path = Path(folder, "input.ndjson")
            source.write_ndjson(path)
        report = examine(path, counted or tokens_by_length)
    report.tokens_from = "model" if counted else "length"
    report.estimated_cost_usd = round(report.estimated_tokens * price / 1_000_000, 6)
    report.estimated_seconds = round(report.estimated_tokens / tokens_per_second, 1)
    if as_json:
        print_json(report)
    else:
        _show(report, "row" if source.format != "ndjson" else "line")
    if report.rejected:
        raise typer.Exit(EXIT_ERROR)
    if report.errors:
        raise typer.Exit(EXIT_INCOMPLETE)


def _model_counter() -> CountTokens | None:
    """Counts as the default model of this machine's service does; None where only the client is installed."""
    try:
        from models.exceptions import ModelError
        from pipelines.engines import token_counter_for
        from pipelines.settings import Settings
    except ImportError:
        return None
    with settings_checked():
        settings = Settings()
    try:
        return token_counter_for(settings, settings.default_model).count
    except ImportError:
        # The engines import what they run on only now.
        return None
    except ModelError as error:
        say(f"Tokens are estimated from the texts' length: {error}")
        return None


def tokens_by_length(texts: Sequence[str]) -> list[int]:
    """About as many as the default model counts in English; other scripts have more."""
    return [max(round(len(text) / _CHARACTERS_A_TOKEN), 1) for text in texts]


def examine(path: Path, count_tokens: CountTokens) -> Report:
    """Read a whole NDJSON file as the service does, in constant memory. Tokens are estimated from some texts."""
    from pipelines.exceptions import InputRejected
    from pipelines.file_kind import require_objects, require_text
    from pipelines.ndjson import is_object, parse_line

    report = Report()
    try:
        require_size(path.stat().st_size)
    except InputError as error:
        report.rejected = str(error)
        return report
    sample = _Sample()
    has_object = False
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        try:
            require_text(head)
        except InputRejected as error:
            report.rejected = error.message
            return report
        file.seek(0)
        for number, line in _numbered_items(file):
            item = parse_line(line)
            report.items += 1
            has_object = has_object or is_object(line)
            if item.error is not None:
                report.errors[item.error.code] = report.errors.get(item.error.code, 0) + 1
                if len(report.first_errors) < _SHOWN_ERRORS:
                    report.first_errors.append(BadLine(number, item.error.code, item.error.message))
            elif item.text is not None:
                sample.add(item.text)
    try:
        require_objects(items=report.items, has_object=has_object, head=head)
    except InputRejected as error:
        report.rejected = error.message
    report.estimated_tokens = sample.estimate(count_tokens)
    return report


class _Sample:
    """Texts drawn evenly from all that were added."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._added = 0
        self._random = random.Random(0)

    def add(self, text: str) -> None:
        self._added += 1
        if len(self._texts) < _SAMPLED_TEXTS:
            self._texts.append(text)
        elif (place := self._random.randrange(self._added)) < _SAMPLED_TEXTS:
            self._texts[place] = text

    def estimate(self, count_tokens: CountTokens) -> int:
        """The tokens of all texts; exact where none was left out."""
        if not self._texts:
            return 0
        return round(sum(count_tokens(self._texts)) * self._added / len(self._texts))


def _numbered_items(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are items, with their numbers in the file; of too long a line only as much as tells so."""
    from pipelines.ndjson import split_lines
    from pipelines.ranges import MAX_LINE_BYTES

    number = 0
    while line := file.readline(MAX_LINE_BYTES + 8):
        number += 1
        for item in split_lines(line.removesuffix(b"\n"), first=number == 1):
            yield number, item
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)


def _show(report: Report, unit: str) -> None:
    if report.rejected:
        print(f"Not acceptable: {report.rejected}")
    print(f"{report.items:,} items, {sum(report.errors.values()):,} of them would be answered with an error")
    for code, count in sorted(report.errors.items(), key=itemgetter(1), reverse=True):
        print(f"  {count:,} {code}")
    for bad in report.first_errors:
        print(f"  {unit} {bad.line:,}: {bad.code} - {bad.message}")
    if sum(report.errors.values()) > len(report.first_errors):
        print("  …")
    tokens = "tokens" if report.tokens_from == "model" else "tokens by length"
    print(
        f"About {report.estimated_tokens:,} {tokens}, ${report.estimated_cost_usd:.4f}, "
        f"{duration(report.estimated_seconds)}"
    )
    if not report.rejected and not report.errors:
        say("The file is fine.")
