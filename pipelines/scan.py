"""The first look at an input: how many items each range holds, about how many tokens, and whether it is NDJSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.exceptions import InputRejected
from pipelines.ndjson import Item, count_lines, is_object, parse_line, split_lines

CountTokens = Callable[[Sequence[str]], list[int]]

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
EXPECTED = 'expected NDJSON in UTF-8: one JSON object a line, such as {"text": "the text to classify"}'


# From about here on a longer text has no more tokens, since models truncate.
_LONG_LINE_BYTES = 2048


@dataclass(frozen=True, slots=True)
class RangeScan:
    """What one range holds. ``tokens`` is estimated from some of its lines; the rest is exact."""

    items: int
    tokens: float
    has_object: bool


def scan_lines(data: bytes, *, first: bool, samples: int, count_tokens: CountTokens) -> RangeScan:
    """Scan the lines of a range (as ``read_lines_of`` gave them), counting the tokens of up to ``samples`` of them."""
    items = count_lines(data, first=first)
    if items <= samples:
        sampled = [(parse_line(line), 1.0) for line in split_lines(data, first=first)]
    else:
        sampled = _sample(data, first=first, samples=samples)
    usable = [(item.text, weight) for item, weight in sampled if item.text is not None]
    counts = count_tokens([text for text, _ in usable]) if usable else []
    return RangeScan(
        items=items,
        tokens=sum(count * weight for count, (_, weight) in zip(counts, usable, strict=True)),
        has_object=any(is_object(item) for item, _ in sampled)
        or any(is_object(parse_line(line)) for line in split_lines(data, first=first)),
    )


def estimate_tokens(scans: Iterable[RangeScan]) -> int:
    """The tokens of all ranges."""
    return round(sum(scan.tokens for scan in scans))


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


def _sample(data: bytes, *, first: bool, samples: int) -> list[tuple[Item, float]]:
    """Items drawn in proportion to their lines' lengths, and how many items each stands for.

    Hansen and Hurwitz's estimator: unbiased whatever the lines hold, and near exact where tokens go by length.
    Drawn at random within equal strata, since lines that repeat in a pattern would bias even steps.
    """
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate(([0], ends[:-1]))
    lengths = np.minimum(ends - starts, _LONG_LINE_BYTES)
    reach = np.cumsum(lengths)
    jitter = np.random.default_rng(len(data)).random(samples)
    offsets = (np.arange(samples) + jitter) * (reach[-1] / samples)
    found = np.searchsorted(reach, offsets, side="right").clip(max=len(reach) - 1)
    drawn, times = np.unique(found, return_counts=True)
    weights = times * (reach[-1] / samples) / lengths[drawn]
    return [
        (parse_line(line), float(weight))
        for start, end, weight in zip(starts[drawn], ends[drawn], weights, strict=True)
        for line in split_lines(data[start:end], first=first and start == 0)
    ]
