from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines import ndjson, ranges
from pipelines.ndjson import count_lines, parse_line, split_lines
from pipelines.ranges import ByteRange, count_ranges, cut_ranges, read_lines_of
from tests.unit.pipelines.strategies import input_bytes

SHORT_LIMIT = 50
MARK = b"\xef\xbb\xbf"


@pytest.fixture
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines over 50 bytes are too long, so that small inputs hold some."""
    monkeypatch.setattr(ndjson, "MAX_LINE_BYTES", SHORT_LIMIT)
    monkeypatch.setattr(ranges, "MAX_LINE_BYTES", SHORT_LIMIT)
    monkeypatch.setattr(ranges, "_KEPT_LINE_BYTES", SHORT_LIMIT + 5)
    monkeypatch.setattr(ranges, "_TAIL_CHUNK", 7)


class CountingReader:
    """An object in memory that knows what was read of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.reads: list[tuple[int, int]] = []

    def __call__(self, start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(self._data), f"read {start}-{end} of {len(self._data)} bytes"
        self.reads.append((start, end))
        return self._data[start:end]

    @property
    def bytes_read(self) -> int:
        return sum(end - start for start, end in self.reads)


def sequential_items(data: bytes, limit: int) -> list[bytes | None]:
    """The contract's items, read byte by byte from one end to the other; None for a line over the limit."""
    items: list[bytes | None] = []
    line = bytearray()

    def end_line() -> None:
        if len(line.removesuffix(b"\r")) > limit:
            items.append(None)
        elif any(byte not in b" \t\r" for byte in line):
            items.append(bytes(line).strip(b" \t\r"))
        line.clear()

    start = 3 if data[:3] == MARK else 0
    for byte in data[start:]:
        if byte == 0x0A:
            end_line()
        else:
            line.append(byte)
    end_line()
    return items


def items_by_ranges(data: bytes, cuts: list[ByteRange], limit: int) -> Iterator[bytes | None]:
    for cut in cuts:
        lines = read_lines_of(cut, len(data), CountingReader(data))
        for line in split_lines(lines, first=cut.index == 0):
            yield line if len(line) <= limit else None


def cuts_at(size: int, positions: set[int]) -> list[ByteRange]:
    edges = [0, *sorted(position for position in positions if 0 < position < size), size]
    return [ByteRange(index, start, end) for index, (start, end) in enumerate(itertools.pairwise(edges))]


@given(data=input_bytes(), step=st.integers(1, 60))
@example(data=MARK, step=1)
@example(data=MARK + b"\n" + MARK + b"a", step=2)
@example(data=b"a\n\n\r\n \n\tb", step=1)
@example(data=b"\n" * 9, step=3)
def test_any_bytes_in_ranges_of_any_size_hold_the_items_of_a_sequential_reader(data: bytes, step: int) -> None:
    cuts = cut_ranges(len(data), min_bytes=step, max_bytes=step, wanted=1)
    assert list(items_by_ranges(data, cuts, ranges.MAX_LINE_BYTES)) == sequential_items(data, ranges.MAX_LINE_BYTES)


@given(data=input_bytes(), positions=st.sets(st.integers(0, 400), max_size=12))
def test_any_bytes_cut_anywhere_hold_the_items_of_a_sequential_reader(data: bytes, positions: set[int]) -> None:
    cuts = cuts_at(len(data), positions) if data else []
    assert list(items_by_ranges(data, cuts, ranges.MAX_LINE_BYTES)) == sequential_items(data, ranges.MAX_LINE_BYTES)


@pytest.mark.usefixtures("short_lines")
def test_lines_over_the_limit_are_one_item_each_whatever_the_cut() -> None:
    """Every length around the limit, blank and not, marked and not, with every line end, in every step."""
    for length in range(SHORT_LIMIT - 3, SHORT_LIMIT + 8):
        for filling in (b"x", b" ", b"\xc3\xa9"):
            for mark in (b"", MARK):
                for end in (b"", b"\r", b"\n", b"\r\n", b"\r\r\n", b"\rx\n", b"\n{}", b"\n\n{}\n"):
                    data = mark + (filling * length)[:length] + end
                    expected = sequential_items(data, SHORT_LIMIT)
                    for step in (1, 2, 3, 7, SHORT_LIMIT, SHORT_LIMIT + 1, SHORT_LIMIT + 4, SHORT_LIMIT + 5, 1000):
                        cuts = cut_ranges(len(data), min_bytes=step, max_bytes=step, wanted=1)
                        assert list(items_by_ranges(data, cuts, SHORT_LIMIT)) == expected, (data, step)


@pytest.mark.usefixtures("short_lines")
@pytest.mark.parametrize("step", [1, 3, 20, 49, 50, 51, 54, 55, 200])
def test_several_lines_over_the_limit_lose_no_neighbour(step: int) -> None:
    data = b"".join(
        [MARK, b"a" * 300, b"\n{}\n", b"b" * 51, b"\r\n", b" " * 120, b"\n", b"c" * 50, b"\n\n", b"d" * 54, b"\n[]"]
    )
    cuts = cut_ranges(len(data), min_bytes=step, max_bytes=step, wanted=1)
    expected = [None, b"{}", None, None, b"c" * 50, None, b"[]"]
    assert sequential_items(data, SHORT_LIMIT) == expected
    assert list(items_by_ranges(data, cuts, SHORT_LIMIT)) == expected


@pytest.mark.usefixtures("short_lines")
@pytest.mark.parametrize("step", [1, 3, 20, 200])
def test_lines_over_the_limit_are_answered_with_an_error_whatever_the_cut(step: int) -> None:
    data = b'{"text":"a"}\n' + b" " * 90 + b"\n" + b'{"text":"' + b"x" * 90 + b'"}\n{"text":"b"}'
    cuts = cut_ranges(len(data), min_bytes=step, max_bytes=step, wanted=1)
    items = [
        parse_line(line)
        for cut in cuts
        for line in split_lines(read_lines_of(cut, len(data), CountingReader(data)), first=cut.index == 0)
    ]
    assert [item.text or (item.error and item.error.code) for item in items] == [
        "a",
        "line_too_long",
        "line_too_long",
        "b",
    ]


@given(data=input_bytes(), positions=st.sets(st.integers(0, 400), max_size=12))
def test_each_byte_of_each_line_belongs_to_exactly_one_range(data: bytes, positions: set[int]) -> None:
    cuts = cuts_at(len(data), positions) if data else []
    assert b"".join(read_lines_of(cut, len(data), CountingReader(data)) for cut in cuts) == data


@pytest.mark.usefixtures("short_lines")
@pytest.mark.parametrize("start", [0, 1, 10, 99])
@pytest.mark.parametrize("length", [1, 30, 500])
def test_a_line_without_end_is_not_followed_beyond_what_rejects_it(start: int, length: int) -> None:
    data = b"\n" * 100 + b"x" * 10_000
    reader = CountingReader(data)
    read_lines_of(ByteRange(1, start, start + length), len(data), reader)
    assert reader.bytes_read <= 1 + length + SHORT_LIMIT + 5


def test_a_line_of_many_mebibytes_is_not_followed_to_its_end() -> None:
    data = b"x" * (12 * 1024 * 1024) + b'\n{"text":"a"}'
    reader = CountingReader(data)
    kept = read_lines_of(ByteRange(0, 0, 1000), len(data), reader)
    assert reader.bytes_read == len(kept) == ranges.MAX_LINE_BYTES + 5
    assert [parse_line(line).error for line in split_lines(kept, first=True)] == [
        ndjson.ItemError("line_too_long", "The line is longer than 4,194,304 bytes")
    ]


def test_a_range_inside_a_long_line_reads_only_itself() -> None:
    data = b"x" * 100_000
    reader = CountingReader(data)
    assert read_lines_of(ByteRange(3, 3000, 4000), len(data), reader) == b""
    assert reader.reads == [(2999, 4000)]


def test_no_byte_is_read_twice_to_finish_a_line() -> None:
    data = b'{"text":"' + b"x" * 500_000 + b'"}\n{"text":"b"}\n'
    reader = CountingReader(data)
    lines = read_lines_of(ByteRange(0, 0, 100), len(data), reader)
    assert lines == data[: data.index(b"\n") + 1]
    assert [end for _, end in reader.reads[:-1]] == [start for start, _ in reader.reads[1:]]


@given(
    size=st.integers(0, 10**7),
    min_bytes=st.integers(1, 10**6),
    spare=st.integers(0, 10**7),
    wanted=st.integers(1, 300),
)
def test_ranges_cover_the_file_without_gap_or_overlap(size: int, min_bytes: int, spare: int, wanted: int) -> None:
    max_bytes = max(min_bytes + spare, size // 2000 + 1)
    cuts = cut_ranges(size, min_bytes=min_bytes, max_bytes=max_bytes, wanted=wanted)
    assert [cut.index for cut in cuts] == list(range(len(cuts)))
    assert [cut.start for cut in cuts] == [0, *(cut.end for cut in cuts)][: len(cuts)]
    assert (cuts[-1].end if cuts else 0) == size
    assert all(0 < cut.end - cut.start <= max_bytes for cut in cuts)
    assert all(cut.end - cut.start >= min_bytes for cut in cuts[:-1])


@given(
    size=st.integers(0, 10**5),
    min_bytes=st.integers(1, 10**4),
    max_bytes=st.integers(1, 10**5),
    wanted=st.integers(1, 300),
)
@example(size=0, min_bytes=1, max_bytes=1, wanted=1)
@example(size=100, min_bytes=10, max_bytes=10, wanted=1)
def test_counting_ranges_agrees_with_cutting_them(size: int, min_bytes: int, max_bytes: int, wanted: int) -> None:
    assert count_ranges(size, min_bytes=min_bytes, max_bytes=max_bytes, wanted=wanted) == len(
        cut_ranges(size, min_bytes=min_bytes, max_bytes=max_bytes, wanted=wanted)
    )


def test_a_small_file_is_cut_into_the_wanted_number_of_ranges() -> None:
    assert len(cut_ranges(1000, min_bytes=1, max_bytes=10**6, wanted=8)) == 8


def test_an_empty_file_has_no_range() -> None:
    assert cut_ranges(0, min_bytes=1, max_bytes=1, wanted=1) == []


@given(data=input_bytes(), first=st.booleans())
@example(data=b"a\n\r", first=False)
@example(data=b"\x0b\n\x0c", first=False)
@example(data=MARK + b"\n", first=True)
@example(data=MARK + b"\n", first=False)
def test_counting_lines_agrees_with_splitting_them(data: bytes, first: bool) -> None:
    assert count_lines(data, first=first) == len(list(split_lines(data, first=first)))


@pytest.mark.usefixtures("short_lines")
def test_counting_lines_agrees_with_splitting_them_around_the_limit() -> None:
    for length in range(SHORT_LIMIT - 2, SHORT_LIMIT + 3):
        for filling in (b"x", b" ", b"\r"):
            for rest in (b"", b"\r", b"\n", b"\r\n", b"\nx", b"\n\n", b"\n" + b" " * 80):
                for mark in (b"", MARK):
                    data = mark + filling * length + rest
                    for first in (True, False):
                        assert count_lines(data, first=first) == len(list(split_lines(data, first=first))), data
