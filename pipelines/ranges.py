"""Cutting an NDJSON object into byte ranges, each owning the lines whose first byte lies in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

BOM = b"\xef\xbb\xbf"
MAX_LINE_BYTES = 4 * 1024 * 1024
# One byte more than a line may have, even if the last that is kept happens to be the first half of \r\n.
_KEPT_LINE_BYTES = len(BOM) + MAX_LINE_BYTES + 2
_TAIL_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes ``start`` to ``end`` (exclusive) of the input; ``index`` numbers ranges from 0 in file order."""

    index: int
    start: int
    end: int


class ReadBytes(Protocol):
    """Reads bytes ``start`` to ``end`` (exclusive) of one object; shorter only where the object ends."""

    def __call__(self, start: int, end: int) -> bytes: ...


def cut_ranges(size: int, *, min_bytes: int, max_bytes: int, wanted: int) -> list[ByteRange]:
    """Cover ``size`` bytes with about ``wanted`` equal ranges of ``min_bytes`` to ``max_bytes`` each.

    Depends on nothing but its arguments, so that the same file is cut in the same way on any cluster.
    """
    step = _step(size, min_bytes, max_bytes, wanted)
    return [ByteRange(index, start, min(start + step, size)) for index, start in enumerate(range(0, size, step))]


def count_ranges(size: int, *, min_bytes: int, max_bytes: int, wanted: int) -> int:
    """``len(cut_ranges(...))`` without making them."""
    return -(-size // _step(size, min_bytes, max_bytes, wanted))


def read_lines_of(byte_range: ByteRange, size: int, read: ReadBytes) -> bytes:
    """The bytes of every line that begins in the range, and of no other.

    Reads from one byte early (to tell whether a line begins at ``start``) to the end of the last line, which may
    lie in later ranges. A line longer than ``MAX_LINE_BYTES`` is not followed to its end: what is kept of it is
    just enough for the parser to reject it, byte order mark included.
    """
    early = max(byte_range.start - 1, 0)
    data = read(early, byte_range.end)
    first = 0
    if byte_range.start > 0:
        first = data.find(b"\n") + 1
        if first == 0:
            return b""
    if first == len(data):
        return b""
    if data.endswith(b"\n"):
        return data[first:]
    line_start = early + max(data.rfind(b"\n") + 1, first)
    limit = min(max(line_start + _KEPT_LINE_BYTES, byte_range.end), size)
    pieces = [data[first:]]
    for chunk in _forward(byte_range.end, limit, read):
        newline = chunk.find(b"\n")
        if newline >= 0:
            pieces.append(chunk[: newline + 1])
            break
        pieces.append(chunk)
    return b"".join(pieces)


def _step(size: int, min_bytes: int, max_bytes: int, wanted: int) -> int:
    return min(max(-(-size // wanted), min_bytes), max_bytes)


def _forward(position: int, limit: int, read: ReadBytes) -> Iterator[bytes]:
    step = _TAIL_CHUNK
    while position < limit:
        end = min(position + step, limit)
        yield read(position, end)
        position = end
        step *= 4
