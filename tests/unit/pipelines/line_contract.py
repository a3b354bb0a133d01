"""What the contract makes of one input line, told by an independent, strict JSON reader."""

from __future__ import annotations

import json
from typing import Any

from models.task import ClassificationTask, Prediction, ScoredLabel
from pipelines.ndjson import Item, is_object, parse_line
from pipelines.results import ResultRenderer, render_error


def result_line(item: Item) -> str:
    """The line a client would get, from a classifier that always answers the same."""
    if item.error:
        return render_error(item.error, item.ids)
    renderer = ResultRenderer(ClassificationTask(labels=("a",)))
    return renderer.answer(Prediction((ScoredLabel("a", 0.5),), tokens=1), item.ids)


class _Kept(str):
    """A number in the characters it was written in."""


def strictly_parsed(line: bytes) -> Any:
    """What RFC 8259 makes of a line: an independent, strict reading. Raises ValueError."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    text = line.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("byte order mark")
    return json.loads(text, parse_int=_Kept, parse_float=_Kept, parse_constant=refuse)


def expected_code(line: bytes) -> str | None:
    """The contract's verdict on a line, from the strict reading; None for an item that can be classified."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return "invalid_encoding"
    try:
        fields = strictly_parsed(line)
    except ValueError:
        return "invalid_json"
    if not isinstance(fields, dict):
        return "not_an_object"
    if "text" not in fields:
        return "missing_text"
    text = fields["text"]
    if not isinstance(text, str) or isinstance(text, _Kept):
        return "invalid_text"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "invalid_text"
    if not text.strip():
        return "empty_text"
    return "text_too_long" if len(text) > 100_000 else None


def assert_contract(line: bytes) -> None:
    """The line's item, and the result line it gets, are what the contract says."""
    item = parse_line(line)
    assert (item.error.code if item.error else None) == expected_code(line)
    if item.error:
        assert item.text is None
        assert item.error.message
    else:
        assert item.text == strictly_parsed(line)["text"]
    assert isinstance(strictly_parsed(result_line(item).encode()), dict)
    assert "\n" not in result_line(item)
    assert is_object(line) == seems_object(line)


def seems_object(line: bytes) -> bool:
    """Whether a file of such lines is NDJSON that is answered line by line, however badly."""
    if expected_code(line) == "invalid_encoding":
        return line.startswith(b"{") and line[1:].strip(b" \t\r").startswith(b'"') and line.endswith(b"}")
    return expected_code(line) not in ("invalid_json", "not_an_object")
