"""The first look at an input: how many items each range holds, about how many tokens, and whether it is NDJSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipelines.exceptions import InputRejected
from pipelines.ndjson import BOM, count_lines, is_object, parse_line, split_lines

CountTokens = Callable[[Sequence[str]], list[int]]

_SIGNATURES = (
    (b"\x1f\x8b", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"BZh", "bzip2 data"),
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
EXPECTED = 'expected NDJSON in UTF-8: one JSON object a line, such as {"text": "the text to classify"}'


@dataclass(frozen=True, slots=True)
class RangeScan:
    """What one range holds. ``sampled_*`` cover some of its lines; ``has_object`` is exact."""

    items: int
    size: int
    sampled_bytes: int
    sampled_tokens: int
    has_object: bool


def scan_lines(data: bytes, *, first: bool, samples: int, count_tokens: CountTokens) -> RangeScan:
    """Scan the lines of a range (as ``read_lines_of`` gave them), sampling about ``samples`` of them evenly."""
    items = count_lines(data, first=first)
    lines = _all_lines(data, first) if items <= samples else _some_lines(data, samples)
    parsed = [(len(line), parse_line(line)) for line in lines]
    texts = [item.text for _, item in parsed if item.text is not None]
    return RangeScan(
        items=items,
        size=len(data),
        sampled_bytes=sum(size for size, _ in parsed),
        sampled_tokens=sum(count_tokens(texts)) if texts else 0,
        has_object=any(is_object(item) for _, item in parsed)
        or any(is_object(parse_line(line)) for line in split_lines(data, first=first)),
    )


def estimate_tokens(scans: Iterable[RangeScan]) -> int:
    """The tokens of all ranges, each by the tokens a byte of its own sample."""
    return round(sum(scan.size * scan.sampled_tokens / scan.sampled_bytes for scan in scans if scan.sampled_bytes))


def require_ndjson(scans: Sequence[RangeScan], head: bytes) -> None:
    """Raises InputRejected when the file holds no item, or no line of it is a JSON object."""
    if not any(scan.items for scan in scans):
        raise InputRejected(f"The file holds no items, only blank lines; {EXPECTED}")
    if not any(scan.has_object for scan in scans):
        raise InputRejected(f"No line of the file is a JSON object: found {describe(head)}; {EXPECTED}")


def require_text(head: bytes) -> None:
    """Raises InputRejected when the first bytes are those of a known format that is not NDJSON."""
    found = _signature(head)
    if found:
        raise InputRejected(f"The file is not NDJSON: found {found}; {EXPECTED}")


def describe(head: bytes) -> str:
    """What a file that is not NDJSON seems to be, from its first bytes."""
    found = _signature(head)
    if found:
        return found
    if b"\x00" in head[:4096]:
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


def _signature(head: bytes) -> str | None:
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return f"{name} (first bytes: {head[:4].hex(' ')})"
    return None


def _all_lines(data: bytes, first: bool) -> list[bytes]:
    return list(split_lines(data, first=first))


def _some_lines(data: bytes, samples: int) -> list[bytes]:
    """The lines that begin next after evenly spaced offsets, so that none has to be counted to be found."""
    chosen: dict[int, bytes] = {}
    for sample in range(samples):
        start = data.find(b"\n", len(data) * sample // samples) + 1 if sample else 0
        if sample and start == 0:
            break
        end = data.find(b"\n", start)
        line = data[start : end if end >= 0 else len(data)].removeprefix(BOM).strip()
        if line:
            chosen[start] = line
    return list(chosen.values())
