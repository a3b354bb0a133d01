"""Reading what people have (NDJSON, CSV, Parquet, text in Python) and writing what the service takes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

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
_BLANK = b" \t\r"
# A longer line is an item even where it is blank: the service does not read it to its end.
_MAX_LINE_BYTES = 4 * 1024 * 1024
_CSV_BLOCK_BYTES = 16 * 1024 * 1024
_PARQUET_ROWS = 8192
_ID_FIELDS = ("id", "custom_id")


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

    def items(self) -> Iterator[dict[str, Any] | None]:
        """Every item's fields in file order; None for a line that is not a JSON object."""
        if self.format != "ndjson":
            yield from self._table_rows(columns=None)
            return
        with self._open() as file:
            for line in item_lines(file):
                yield _object(line)

    def write_ndjson(self, target: Path) -> None:
        """Write what the service takes, with the texts and the ids alone. Raises InputError for an unusable file."""
        with target.open("wb") as out:
            if self.format == "ndjson":
                with self._open() as file:
                    for line in item_lines(file):
                        out.write(self._line(line) + b"\n")
            else:
                for row in self._table_rows(columns=(*_ID_FIELDS, self.text_field)):
                    out.write(_written(self._selected(row)))

    def _line(self, line: bytes) -> bytes:
        """A line that is not an object stays as it is, for the service to answer."""
        item = _object(line)
        return line if item is None else _written(self._selected(item)).rstrip()

    def _selected(self, item: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: item[name] for name in _ID_FIELDS if _sendable(item.get(name)) is not None}
        return {**kept, "text": _sendable(item[self.text_field])} if self.text_field in item else kept

    def _open(self) -> BinaryIO:
        if self.path.suffix.lower() == ".gz":
            return cast(BinaryIO, gzip.open(self.path))
        return self.path.open("rb")

    def _table_rows(self, columns: tuple[str, ...] | None) -> Iterator[dict[str, Any]]:
        try:
            import pyarrow
        except ImportError:
            raise InputError(f"Reading {self.path.name} needs pyarrow: pip install pyarrow") from None
        try:
            batches = self._csv_batches() if self.format == "csv" else self._parquet_batches()
            for batch in batches:
                if self.text_field not in batch.schema.names:
                    found = ", ".join(batch.schema.names)
                    raise InputError(f"{self.path.name} has no column {self.text_field!r}; it has: {found}")
                wanted = [name for name in batch.schema.names if columns is None or name in columns]
                yield from batch.select(wanted).to_pylist()
        except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError) as error:
            raise InputError(f"{self.path.name} cannot be read: {error}") from error

    def _csv_batches(self) -> Iterable[Any]:
        from pyarrow import csv, string

        tabs = ".tsv" in [suffix.lower() for suffix in self.path.suffixes]
        return cast(
            Iterable[Any],
            csv.open_csv(
                self.path,
                read_options=csv.ReadOptions(block_size=_CSV_BLOCK_BYTES),
                parse_options=csv.ParseOptions(delimiter="\t" if tabs else ",", newlines_in_values=True),
                # Texts and ids that look like numbers or dates must stay as they were typed.
                convert_options=csv.ConvertOptions(
                    column_types={name: string() for name in (*_ID_FIELDS, self.text_field)},
                    strings_can_be_null=False,
                ),
            ),
        )

    def _parquet_batches(self) -> Iterable[Any]:
        from pyarrow.parquet import ParquetFile

        return cast(Iterable[Any], ParquetFile(self.path).iter_batches(batch_size=_PARQUET_ROWS))


def item_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines that are items to the service, without line ends: all that are not blank."""
    first = True
    for line in file:
        unmarked = line.removeprefix(_BOM) if first else line
        first = False
        stripped = unmarked.strip(_BLANK + b"\n")
        if stripped or len(unmarked.removesuffix(b"\n")) > _MAX_LINE_BYTES:
            yield stripped


def write_texts(texts: Iterable[Any], target: Path) -> None:
    """Write an item a text. What is not a string becomes an item that is answered with an error."""
    with target.open("wb") as out:
        for text in texts:
            out.write(_written({"text": _sendable(text)}))


def _sendable(value: object) -> object:
    """Pandas and NumPy write a missing text as NaN, which JSON does not have."""
    return value if isinstance(value, str | int | float) and value == value else None


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) else None


def _written(item: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(item, ensure_ascii=False, default=str).encode() + b"\n"
    except UnicodeEncodeError:
        # Half of a surrogate pair: legal in an escape, impossible in UTF-8.
        return json.dumps(item, default=str).encode() + b"\n"
