"""What a file is that is not NDJSON, told by its first bytes."""

from __future__ import annotations

from codecs import getincrementaldecoder

from pipelines.exceptions import InputRejected
from pipelines.ndjson import split_lines

_SIGNATURES = (
    (b"\x1f\x8b", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"BZh91AY&SY", "bzip2 data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"PK\x03\x04", "a ZIP archive (or an Office file)"),
    (b"PAR1", "a Parquet file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)
# A line of text may begin as some signatures do; a file that is binary shows it in its first bytes behind them.
_BEGINNING_BYTES = 4096
EXPECTED = 'expected NDJSON in UTF-8: one JSON object a line, such as {"text": "the text to classify"}'


def require_text(head: bytes) -> None:
    """Raises InputRejected when the first bytes are those of a known format that is not NDJSON, and are no text."""
    found = _signature(head)
    if found and not _is_text(head[:_BEGINNING_BYTES]):
        raise InputRejected(f"The file is not NDJSON: found {found}; {EXPECTED}")


def require_objects(*, items: int, has_object: bool, head: bytes) -> None:
    """Raises InputRejected when a file, of which these are the first bytes, holds no item or none is an object."""
    if not items:
        raise InputRejected(f"The file holds no items, only blank lines; {EXPECTED}")
    if not has_object:
        raise InputRejected(f"No line of the file is a JSON object: found {describe(head)}; {EXPECTED}")


def describe(head: bytes) -> str:
    """What a file that is not NDJSON seems to be, from its first bytes."""
    found = _signature(head)
    if found:
        return found
    if b"\x00" in head[:_BEGINNING_BYTES]:
        return "binary data"
    first_line = next(split_lines(head, first=True), b"")
    shown = first_line[:80].decode("utf-8", "replace") + ("…" if len(first_line) > 80 else "")
    if first_line.startswith(b"["):
        return f"a JSON array or list (first line: {shown})"
    if first_line.startswith(b"{"):
        return f"an object that is spread over several lines, or invalid JSON (first line: {shown})"
    if first_line.startswith(b"<"):
        return f"HTML or XML (first line: {shown})"
    if b"," in first_line or b"\t" in first_line or b";" in first_line:
        return f"what looks like CSV (first line: {shown})"
    return f"other text (first line: {shown})"


def _is_text(beginning: bytes) -> bool:
    """Whether it holds no NUL and is UTF-8, of which the last character may be cut."""
    try:
        getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return b"\x00" not in beginning


def _signature(head: bytes) -> str | None:
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return f"{name} (first bytes: {head[:4].hex(' ')})"
    return None
