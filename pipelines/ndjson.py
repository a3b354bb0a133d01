"""Input lines: which lines are items, and what each item holds or why it cannot be classified."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from pipelines.ranges import BOM, MAX_LINE_BYTES

MAX_TEXT_CHARACTERS = 100_000
_SPLIT_BYTES = 64 * 1024
_BLANK_BYTES = b" \t\r"
_MAYBE_BLANK = (b"\n\n", b"\n\r", b"\n ", b"\n\t")

ErrorCode = Literal[
    "invalid_json",
    "not_an_object",
    "missing_text",
    "invalid_text",
    "empty_text",
    "text_too_long",
    "invalid_encoding",
    "line_too_long",
    "classifier_error",
]


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why an item cannot be classified: a code of the contract and a sentence for the person who sent it."""

    code: ErrorCode
    message: str


@dataclass(slots=True)
class Item:
    """One input line. Either ``text`` is set or ``error`` is.

    ``ids`` is what the result line repeats: a fragment such as ``"id":"a-1",`` taken byte for byte from the
    input, so that a number keeps its digits, or an empty string.
    """

    text: str | None
    error: ItemError | None = None
    ids: str = ""


class _Line(msgspec.Struct):
    text: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    custom_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_line_decoder = msgspec.json.Decoder(_Line)
_text_decoder = msgspec.json.Decoder(str)
_any_decoder = msgspec.json.Decoder(msgspec.Raw)
# Every escape in turn, so that an escaped backslash is not taken for the start of one; group 1 is half a pair.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
# A brace and a quote, since in data that is no text many lines begin with a brace.
_OBJECT_BEGINNING = re.compile(rb'[ \t\r]*\{[ \t\r]*"')
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_HALF_PAIR_ERROR = ItemError(
    "invalid_text", '"text" holds half of a surrogate pair (\\ud800-\\udfff), which is no character'
)


def split_lines(data: bytes, *, first: bool) -> Iterator[bytes]:
    """The lines of ``data`` that are items, without line ends; ``first`` when the data begins the file (BOM).

    A line over ``MAX_LINE_BYTES``, its end not counted, is an item even where it is blank, since a reader may have cut
    its end off.
    """
    if first:
        data = data.removeprefix(BOM)
    for line in _split(data):
        stripped = line.strip(_BLANK_BYTES)
        if len(line) - line.endswith(b"\r") > MAX_LINE_BYTES:
            yield line
        elif stripped:
            yield stripped


def _split(data: bytes) -> Iterator[bytes]:
    """``data.split(b"\\n")`` piece by piece: tiny lines, all in memory at once, take many times their bytes."""
    start = 0
    while (end := data.find(b"\n", start + _SPLIT_BYTES)) >= 0:
        yield from data[start:end].split(b"\n")
        start = end + 1
    yield from data[start:].split(b"\n")


def count_lines(data: bytes, *, first: bool) -> int:
    """``len(list(split_lines(data)))`` at the speed of a byte search where no line can be blank."""
    unmarked = data.removeprefix(BOM) if first else data
    if not unmarked:
        return 0
    if unmarked[0] in b" \t\r\n" or any(mark in unmarked for mark in _MAYBE_BLANK):
        return sum(1 for _ in split_lines(data, first=first))
    return unmarked.count(b"\n") + (not unmarked.endswith(b"\n"))


def parse_line(line: bytes) -> Item:
    """Read one line that ``split_lines`` gave. Never raises, whatever the bytes."""
    if len(line) > MAX_LINE_BYTES:
        return _failed("line_too_long", f"The line is longer than {MAX_LINE_BYTES:,} bytes")
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return _failed("invalid_encoding", f"Byte {error.start} of the line (0x{line[error.start]:02x}) is not UTF-8")
    try:
        return _item(_line_decoder.decode(line))
    except (msgspec.DecodeError, RecursionError) as error:
        return _undecodable(line, error)


def text_error(text: str) -> ItemError | None:
    """Why a text cannot be classified, if it cannot."""
    if not text or text.isspace():
        return ItemError("empty_text", '"text" is empty')
    if len(text) > MAX_TEXT_CHARACTERS:
        return ItemError("text_too_long", f'"text" has {len(text):,} characters; the limit is {MAX_TEXT_CHARACTERS:,}')
    # Whether a text is all ASCII is known without a look at its characters.
    return None if text.isascii() or not _HALF_PAIR.search(text) else _HALF_PAIR_ERROR


def may_be_object(line: bytes) -> bool:
    """Whether a line that ``split_lines`` gave begins as an object does."""
    return line.lstrip(_BLANK_BYTES).startswith(b"{")


def is_object(line: bytes) -> bool:
    """Whether a line that ``split_lines`` gave is a JSON object, usable or not; one too long or not in UTF-8 counts as
    what it looks like.
    """
    if not may_be_object(line):
        return False
    item = parse_line(line)
    if item.error is None or item.error.code in ("missing_text", "invalid_text", "empty_text", "text_too_long"):
        return True
    if item.error.code == "line_too_long":
        return _OBJECT_BEGINNING.match(line) is not None
    return item.error.code == "invalid_encoding" and line.endswith(b"}") and _OBJECT_BEGINNING.match(line) is not None


def _failed(code: ErrorCode, message: str, ids: str = "") -> Item:
    return Item(text=None, error=ItemError(code, message), ids=ids)


def _item(fields: _Line) -> Item:
    ids = _ids(fields)
    if isinstance(fields.text, msgspec.UnsetType):
        return _failed("missing_text", 'The object has no field "text"', ids)
    raw = bytes(fields.text)
    if not raw.startswith(b'"'):
        return _failed("invalid_text", f'"text" must be a string, not {_json_type(raw)}', ids)
    text = _text_decoder.decode(raw)
    error = text_error(text)
    return Item(text=None, error=error, ids=ids) if error else Item(text=text, ids=ids)


def _undecodable(line: bytes, error: Exception) -> Item:
    # Half a surrogate pair is legal JSON that the decoder refuses; only in "text" does it matter.
    one, other = (_with_halves_replaced(line, mark) for mark in (b"\\ufffd", b"\\ufffe"))
    try:
        if not line.startswith(b"{"):
            _any_decoder.decode(one)
            return _failed("not_an_object", f"The line must be a JSON object, not {_json_type(line)}")
        if one != line:
            return _item_of_two(_line_decoder.decode(one), _line_decoder.decode(other))
    except (msgspec.DecodeError, RecursionError) as second:
        error = second
    if isinstance(error, RecursionError):
        return _failed("invalid_json", "The line is nested too deeply")
    reason = str(error).removeprefix("JSON is malformed: ")
    return _failed("invalid_json", f"The line is not valid JSON: {reason}")


def _with_halves_replaced(line: bytes, mark: bytes) -> bytes:
    return _ESCAPE.sub(lambda escape: mark if escape[1] else escape[0], line)


def _item_of_two(one: _Line, other: _Line) -> Item:
    """The item of a line that was read with two different marks for half a pair: a field that differs held one."""
    kept = _Line(text=one.text)
    if _same(one.id, other.id):
        kept.id = one.id
    if _same(one.custom_id, other.custom_id):
        kept.custom_id = one.custom_id
    item = _item(kept)
    if item.text is not None and not _same(one.text, other.text):
        return Item(text=None, error=_HALF_PAIR_ERROR, ids=item.ids)
    return item


def _same(one: msgspec.Raw | msgspec.UnsetType, other: msgspec.Raw | msgspec.UnsetType) -> bool:
    if isinstance(one, msgspec.UnsetType) or isinstance(other, msgspec.UnsetType):
        return one is other
    return bytes(one) == bytes(other)


def _ids(fields: _Line) -> str:
    parts = []
    for name, raw in (("id", fields.id), ("custom_id", fields.custom_id)):
        if raw is msgspec.UNSET:
            continue
        value = bytes(raw)
        if value[:1] == b'"' or value[:1] == b"-" or value[:1].isdigit():
            parts.append(f'"{name}":{value.decode()},')
    return "".join(parts)


def _json_type(raw: bytes) -> str:
    kinds = {b'"': "a string", b"{": "an object", b"[": "an array", b"t": "true", b"f": "false", b"n": "null"}
    return kinds.get(raw[:1], "a number")
