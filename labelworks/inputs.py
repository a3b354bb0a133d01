"""Reading what people have (NDJSON, CSV, Parquet, text in Python) and writing what the service takes."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from csv import Error as CsvError
from csv import reader as csv_reader
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from io import TextIOWrapper
from numbers import Integral
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from labelworks.columns import as_text, may_hold_texts, python_values
from labelworks.errors import InputError

Format = Literal["ndjson", "csv", "parquet"]

_FORMATS: dict[str, Format] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
# A longer line is an item even where it is blank: the service does not read it to its end.
_MAX_LINE_BYTES = 4 * 1024 * 1024
_CSV_BLOCK_BYTES = 16 * 1024 * 1024
_PARQUET_ROWS = 8192
_ID_FIELDS = ("id", "custom_id")
_NAMED_FIELDS = 20
_NULL = "null"
_GZIP_ADVICE = "; compress it again, or take .gz off its name where it is not compressed"


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of texts. ``text_field`` names the field or the column that holds them.

    NDJSON, CSV and TSV files may be compressed with gzip (``.gz``). CSV and Parquet need pyarrow.
    """

    path: Path
    text_field: str = "text"

    @property
    def format(self) -> Format:
        """By the name's ending; NDJSON where that says nothing."""
        suffixes = [suffix.lower() for suffix in self.path.suffixes]
        if suffixes and suffixes[-1] == ".gz":
            suffixes.pop()
        return _FORMATS.get(suffixes[-1], "ndjson") if suffixes else "ndjson"

    @property
    def is_ready(self) -> bool:
        """Whether the service takes the file as it is."""
        return self.format == "ndjson" and self.text_field == "text" and self.path.suffix.lower() != ".gz"

    def require_readable(self) -> None:
        """Raises InputError for a file that cannot be opened: to be known before a job is made."""
        if not self.path.is_file():
            raise InputError(f"There is no file {self.path}; name one that holds the texts")
        with self._told_of():
            self.path.open("rb").close()

    def items(self) -> Iterator[dict[str, Any] | None]:
        """Every item's fields in file order; None for a line that is not a JSON object. CSV has strings alone.

        A value that Python has no type for is None, such as a time beyond the year 9999.
        """
        if self.format == "ndjson":
            for line in self._lines():
                if is_item(line):
                    yield _object(line)
        else:
            yield from self._table_rows(columns=None)

    def write_ndjson(self, target: Path) -> None:
        """Write what the service takes, with the texts and the ids alone. A line of NDJSON keeps its number.

        Raises InputError for an unusable file.
        """
        items = 0
        first: dict[str, Any] | None = None
        has_texts = self.format != "ndjson" or self.text_field == "text"
        with target.open("wb") as out:
            if self.format == "ndjson":
                for line in self._lines():
                    items += is_item(line)
                    item = _object(line, numbers=_AsWritten)
                    if item is None:
                        # Stays as it is, for the service to answer.
                        out.write(line)
                        continue
                    first = first or item
                    has_texts = has_texts or self.text_field in item
                    out.write(_item_line(item, self.text_field))
            else:
                for row in self._table_rows(columns=(*_ID_FIELDS, self.text_field)):
                    items += 1
                    out.write(_item_line(row, self.text_field))
        if not items:
            raise InputError(f"{self.path.name} holds no items; give it a text at least")
        if first is not None and not has_texts:
            names = ", ".join(list(first)[:_NAMED_FIELDS]) or "no fields"
            raise InputError(f"{self.path.name} has no line with a field {self.text_field!r}; its first has: {names}")

    def _lines(self) -> Iterator[bytes]:
        with self._told_of(), self._open() as file:
            yield from _unmarked_lines(file)

    def _open(self) -> BinaryIO:
        if self.path.suffix.lower() == ".gz":
            return cast(BinaryIO, gzip.open(self.path))
        return self.path.open("rb")

    @contextmanager
    def _told_of(self) -> Iterator[None]:
        """Name the file where it cannot be read."""
        try:
            yield
        except (EOFError, OSError, zlib.error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.errno else f"{error}{_GZIP_ADVICE}"
            raise InputError(f"{self.path.name} cannot be read: {reason}") from error

    def _table_rows(self, columns: tuple[str, ...] | None) -> Iterator[dict[str, Any]]:
        try:
            import pyarrow
        except ImportError:
            raise InputError(f"Reading {self.path.name} needs pyarrow: pip install 'labelworks[tables]'") from None
        try:
            with self._told_of():
                yield from self._csv_rows(columns) if self.format == "csv" else self._parquet_rows(columns)
        except pyarrow.ArrowException as error:
            raise InputError(f"{self.path.name} cannot be read: {error}") from error

    def _csv_rows(self, columns: tuple[str, ...] | None) -> Iterator[dict[str, Any]]:
        from pyarrow import binary, csv, input_stream, string

        delimiter = "\t" if ".tsv" in [suffix.lower() for suffix in self.path.suffixes] else ","
        names, header_rows = self._csv_header(delimiter)
        sent = (*_ID_FIELDS, self.text_field)
        # Told here, since pyarrow knows .gz in small letters alone.
        compression = "gzip" if self.path.suffix.lower() == ".gz" else None
        batches = csv.open_csv(
            input_stream(self.path, compression=compression),
            # Named here, since pyarrow cannot tell a name that is not UTF-8.
            read_options=csv.ReadOptions(
                block_size=_CSV_BLOCK_BYTES, column_names=names, skip_rows_after_names=header_rows
            ),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            # All as it was typed: a type guessed from the first block need not hold in the next. What nobody sends is
            # not checked either.
            convert_options=csv.ConvertOptions(
                include_columns=self._chosen(names, columns),
                column_types={name: string() if name in sent else binary() for name in names},
                strings_can_be_null=False,
            ),
        )
        for batch in batches:
            for row in batch.to_pylist():
                yield {
                    name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                    for name, value in row.items()
                }

    def _csv_header(self, delimiter: str) -> tuple[list[str], int]:
        """The columns' names, and how many rows there are before the first item's, blank ones too."""
        with self._open() as file, TextIOWrapper(file, "utf-8-sig", errors="replace", newline="") as text:
            # In pieces, since a file that is no CSV may have no line end at all.
            pieces = iter(partial(text.readline, _CSV_BLOCK_BYTES), "")
            try:
                rows = enumerate(csv_reader(pieces, delimiter=delimiter), 1)
                found = next(((row, number) for number, row in rows if row), None)
            except CsvError as error:
                raise InputError(f"{self.path.name} is not CSV: {error}") from error
        if found is None:
            raise InputError(f"{self.path.name} is empty; its first line must name the columns")
        return found

    def _parquet_rows(self, columns: tuple[str, ...] | None) -> Iterator[dict[str, Any]]:
        from pyarrow.parquet import ParquetFile

        with ParquetFile(self.path) as file:
            chosen = self._chosen(file.schema_arrow.names, columns)
            kind = file.schema_arrow.field(self.text_field).type
            if not may_hold_texts(kind):
                raise InputError(
                    f"{self.path.name}: column {self.text_field!r} is of type {kind}; texts must be strings"
                )
            rows = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=chosen):
                values = (
                    self._texts(column, rows) if name == self.text_field else python_values(column)
                    for name, column in zip(batch.schema.names, batch.columns, strict=True)
                )
                yield from (dict(zip(batch.schema.names, row, strict=True)) for row in zip(*values, strict=True))
                rows += batch.num_rows

    def _texts(self, column: Any, rows: int) -> list[Any]:
        """The values of a piece of the texts' column, which has so many rows before it."""
        texts = []
        for row, value in enumerate(column, rows + 1):
            try:
                texts.append(as_text(value.as_py()))
            except UnicodeDecodeError as error:
                raise InputError(f"{self.path.name}: the text of row {row:,} is not UTF-8: {error}") from error
        return texts

    def _chosen(self, names: list[str], columns: tuple[str, ...] | None) -> list[str] | None:
        """Those of the columns that the file has; None for all. Raises InputError unless one holds the texts."""
        if self.text_field not in names:
            raise InputError(f"{self.path.name} has no column {self.text_field!r}; it has: {', '.join(names)}")
        for name in (*_ID_FIELDS, self.text_field):
            if names.count(name) > 1:
                raise InputError(f"{self.path.name} has {names.count(name)} columns {name!r}; rename all but one")
        return None if columns is None else [name for name in names if name in columns]


def item_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines that are items to the service, without line ends: all that are not blank."""
    for line in _unmarked_lines(file):
        if is_item(line):
            yield line.strip(_BLANK)


def is_item(line: bytes) -> bool:
    """Whether the service answers a line: it is not blank."""
    return bool(line.strip(_BLANK)) or len(line.removesuffix(b"\n").removesuffix(b"\r")) > _MAX_LINE_BYTES


def write_items(items: Iterable[Mapping[Any, Any]], target: Path, text_field: str) -> None:
    """Write a line an item, with its text and its ids alone, for the service to answer.

    Raises InputError for no item, and for a text of bytes that are not UTF-8.
    """
    with target.open("wb") as out:
        for number, item in enumerate(items, 1):
            try:
                out.write(_item_line(item, text_field))
            except UnicodeDecodeError as error:
                raise InputError(f"Text {number:,} is bytes that are not UTF-8: {error}; pass a string") from error
    if not target.stat().st_size:
        raise InputError("There are no texts to classify; pass one at least")


def _unmarked_lines(file: BinaryIO) -> Iterator[bytes]:
    for number, line in enumerate(file):
        yield line if number else line.removeprefix(_BOM)


def json_of(line: bytes) -> Any:
    """The value of a JSON text, in which an integer of more digits than Python reads is a string. Raises ValueError."""
    try:
        return json.loads(line)
    except ValueError:
        return json.loads(line, parse_int=_int_or_digits)


def _int_or_digits(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:
        return digits


class _AsWritten(str):
    """A number of a JSON text, digit for digit."""

    __slots__ = ()


def _object(line: bytes, numbers: type[_AsWritten] | None = None) -> dict[str, Any] | None:
    try:
        item = json.loads(line, parse_int=numbers, parse_float=numbers) if numbers else json_of(line)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) else None


def _item_line(item: Mapping[Any, Any], text_field: str) -> bytes:
    try:
        return _item_json(item, text_field, ascii_only=False).encode() + b"\n"
    except UnicodeEncodeError:
        # Half of a surrogate pair: legal in an escape, impossible in UTF-8.
        return _item_json(item, text_field, ascii_only=True).encode() + b"\n"


def _item_json(item: Mapping[Any, Any], text_field: str, *, ascii_only: bool) -> str:
    ids = ((name, _json(item.get(name), ascii_only)) for name in _ID_FIELDS)
    members = [f'"{name}": {value}' for name, value in ids if value != _NULL]
    if text_field in item:
        members.append(f'"text": {_json(as_text(item[text_field]), ascii_only)}')
    return f"{{{', '.join(members)}}}"


def _json(value: object, ascii_only: bool) -> str:
    """A string or a number in JSON; null for anything else, such as the NaN that pandas may hold for a text."""
    if isinstance(value, _AsWritten):
        return value
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else _NULL
    if isinstance(value, float) and not math.isfinite(value):
        return _NULL
    # Of numpy's numbers json knows the floats alone.
    number = int(value) if isinstance(value, Integral) and not isinstance(value, int) else value
    return json.dumps(number, ensure_ascii=ascii_only) if isinstance(number, str | int | float) else _NULL
