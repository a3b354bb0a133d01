from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines import ndjson
from pipelines import scan as scan_module
from pipelines.exceptions import InputRejected
from pipelines.file_kind import describe, require_text
from pipelines.ndjson import Item, is_object, may_be_object, parse_line, split_lines
from pipelines.ranges import cut_ranges, read_lines_of
from pipelines.scan import RangeScan, estimate_tokens, require_ndjson, scan_lines
from tests.unit.pipelines.strategies import input_bytes

EXPECTED = '; expected NDJSON in UTF-8: one JSON object a line, such as {"text": "the text to classify"}'


def count_tokens(texts: Sequence[str]) -> list[int]:
    """About four characters a token, however long the text is."""
    assert texts
    return [2 + len(text) // 4 for text in texts]


def scan(data: bytes, samples: int = 100) -> RangeScan:
    return scan_lines(data, first=True, samples=samples, count_tokens=count_tokens)


def scan_in_ranges(data: bytes, range_bytes: int) -> list[RangeScan]:
    cuts = cut_ranges(len(data), min_bytes=range_bytes, max_bytes=range_bytes, wanted=1)
    samples = max(4096 // len(cuts), 32)
    return [
        scan_lines(
            read_lines_of(cut, len(data), lambda start, end: data[start:end]),
            first=cut.index == 0,
            samples=samples,
            count_tokens=count_tokens,
        )
        for cut in cuts
    ]


def items_of(data: bytes) -> list[str | None]:
    return [parse_line(line).text for line in split_lines(data, first=True)]


def actual_tokens(data: bytes) -> int:
    return sum(count_tokens([text for text in items_of(data) if text is not None]))


def line(length: int, **others: object) -> bytes:
    return json.dumps({"text": "x" * length, **others}).encode()


def skewed_files() -> Iterator[tuple[str, bytes]]:
    dice = random.Random(7)
    yield "tiny lines with long line ends", b"\r\n".join(line(2) for _ in range(20_000))
    yield "more blank lines than items", b"\n \n\n\r\n".join(line(2) for _ in range(20_000))
    yield "short and long in turn", b"\n".join(line(5 if i % 2 else 900) for i in range(8_192))
    yield "every tenth is long", b"\n".join(line(900 if i % 10 == 0 else 5) for i in range(20_480))
    yield "one in a hundred is huge", b"\n".join(line(20_000 if dice.random() < 0.01 else 20) for _ in range(20_000))
    yield "sorted by length", b"\n".join(line(i // 10) for i in range(1, 12_000))
    yield "log-normal lengths", b"\n".join(line(int(dice.lognormvariate(4, 1.5)) + 1) for _ in range(15_000))
    yield "every other line is no JSON", b"\n".join(line(100) if i % 2 else b"oops" for i in range(20_000))
    yield (
        "some lines with much beside the text",
        b"\n".join(line(30, other="m" * (5_000 if dice.random() < 0.02 else 0)) for _ in range(20_000)),
    )
    yield "one line", line(60)
    yield "one huge line among few", b"\n".join([line(10)] * 50 + [line(99_000)])


FILES = dict(skewed_files())


@pytest.mark.parametrize("range_bytes", [64 * 1024, 8 * 1024 * 1024])
@pytest.mark.parametrize("name", FILES)
def test_the_token_estimate_is_within_a_tenth_of_the_truth_on_skewed_files(name: str, range_bytes: int) -> None:
    scans = scan_in_ranges(FILES[name], range_bytes)
    assert estimate_tokens(scans) == pytest.approx(actual_tokens(FILES[name]), rel=0.1)
    assert sum(found.items for found in scans) == len(items_of(FILES[name]))


@given(
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=60),
    ends=st.lists(st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n \n"]), min_size=1, max_size=5),
)
def test_a_file_of_fewer_lines_than_samples_is_counted_exactly(lengths: list[int], ends: list[bytes]) -> None:
    data = b"".join(line(length) + ends[index % len(ends)] for index, length in enumerate(lengths))
    assert estimate_tokens([scan(data, samples=60)]) == actual_tokens(data)


def test_few_samples_of_long_texts_of_any_length_are_enough_for_a_near_exact_estimate() -> None:
    dice = random.Random(7)
    data = b"\n".join(line(dice.choice([3_000, 90_000])) for _ in range(200))
    assert estimate_tokens([scan(data, samples=32)]) == pytest.approx(actual_tokens(data), rel=0.01)


def test_the_same_bytes_are_always_estimated_the_same() -> None:
    data = FILES["log-normal lengths"]
    assert scan(data) == scan(data)


def test_no_more_texts_are_tokenized_than_samples_were_asked_for() -> None:
    asked: list[int] = []

    def count(texts: Sequence[str]) -> list[int]:
        asked.append(len(texts))
        return [1] * len(texts)

    scan_lines(FILES["log-normal lengths"], first=True, samples=100, count_tokens=count)
    assert sum(asked) <= 100


@given(data=input_bytes(), first=st.booleans(), samples=st.integers(1, 8))
@example(data=b"", first=True, samples=1)
@example(data=b"\n\n\n", first=True, samples=1)
@example(data=b"\xef\xbb\xbf\n\xef\xbb\xbf", first=True, samples=1)
@example(data=b"a\nb\nc\n\n\n\n", first=False, samples=1)
def test_scanning_any_bytes_counts_their_items_and_finds_their_objects(data: bytes, first: bool, samples: int) -> None:
    found = scan_lines(data, first=first, samples=samples, count_tokens=count_tokens)
    items = [parse_line(each) for each in split_lines(data, first=first)]
    assert found.items == len(items)
    assert found.has_object == any(is_object(each) for each in split_lines(data, first=first))
    assert found.tokens >= 0
    assert (found.tokens > 0) <= any(item.text is not None for item in items)


@given(data=input_bytes())
def test_any_first_bytes_can_be_described(data: bytes) -> None:
    assert describe(data)
    assert describe(data).encode()


def test_one_object_among_very_many_lines_makes_the_file_acceptable() -> None:
    filler = b"not json at all\n"
    data = filler * 60_000 + b'{"no": "text"}\n' + filler * 40_000
    found = scan(data)
    assert found.items == 100_001
    assert found.has_object
    require_ndjson([RangeScan(items=5, tokens=0, has_object=False), found], data[:1000])


@given(data=input_bytes(), tried=st.integers(0, 4))
def test_an_object_is_missed_only_where_all_lines_that_could_be_one_were_tried(data: bytes, tried: int) -> None:
    found = scan_lines(data, first=True, samples=1, count_tokens=count_tokens, tried=tried)
    objects = [is_object(line) for line in split_lines(data, first=True) if may_be_object(line)]
    # The only line of a range is known, as it is sampled.
    assert found.has_object == (any(objects) or (found.items > 1 and len(objects) > tried))


def test_the_look_for_an_object_parses_no_line_that_cannot_be_one_and_no_more_than_were_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[bytes] = []

    def noting(line: bytes) -> Item:
        parsed.append(line)
        return parse_line(line)

    for module in (scan_module, ndjson):
        monkeypatch.setattr(module, "parse_line", noting)
    for line in (b"1\n", b"{\n"):
        parsed.clear()
        scan_lines(line * 10_000, first=True, samples=8, count_tokens=count_tokens, tried=100)
        # A sample is parsed for its text too.
        assert len(parsed) <= 100 + 2 * 8


def test_a_file_whose_objects_have_no_text_is_acceptable() -> None:
    data = b'{"txt":"a"}\n{"text":1}\n'
    require_ndjson([scan(data)], data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"text":"caf\xe9"}\n{"text":"\xfcber"}\r\n',
        b' { "text":"caf\xe9"}',
        b'{"text":"' + b"x" * (5 * 1024 * 1024) + b'"}\n',
        b'  {\t"text":"' + b"x" * (5 * 1024 * 1024),
    ],
    ids=["latin-1", "latin-1 with gaps", "too long", "too long, cut, with gaps"],
)
def test_a_file_of_objects_that_cannot_be_read_is_acceptable(data: bytes) -> None:
    require_ndjson([scan(data)], data[: 64 * 1024])
    require_ndjson([scan(data * 3, samples=1)], data[: 64 * 1024])


@pytest.mark.parametrize("data", [b"\n", b" \r\n\t\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_a_file_of_blank_lines_is_rejected_as_such(data: bytes) -> None:
    with pytest.raises(InputRejected) as rejected:
        require_ndjson([scan(data)], data)
    assert rejected.value.message == "The file holds no items, only blank lines" + EXPECTED


def png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0\0\0")) + chunk(b"IEND", b"")
    )


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"]}), buffer)
    return buffer.getvalue()


def zipped() -> bytes:
    """The lines stand in it as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("lines.ndjson", NDJSON)
    return buffer.getvalue()


NDJSON = b'{"text":"a"}\n{"text":"b"}\n'


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (gzip.compress(NDJSON, mtime=0), "gzip data (first bytes: 1f 8b 08 00)"),
        (png(), "a PNG picture (first bytes: 89 50 4e 47)"),
        (parquet(), "a Parquet file (first bytes: 50 41 52 31)"),
        (NDJSON.decode().encode("utf-16"), "UTF-16 text (first bytes: ff fe 7b 00)"),
        (b"\xfe\xff" + NDJSON.decode().encode("utf-16-be"), "UTF-16 text (first bytes: fe ff 00 7b)"),
        (zipped(), "a ZIP archive (or an Office file) (first bytes: 50 4b 03 04)"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "a PDF file (first bytes: 25 50 44 46)"),
        (b"GIF89a\n\x00\n\x00\xf0\x00\x00" + b"\xff" * 6 + b",", "a GIF picture (first bytes: 47 49 46 38)"),
        (bz2.compress(NDJSON), "bzip2 data (first bytes: 42 5a 68 39)"),
        (lzma.compress(NDJSON), "xz data (first bytes: fd 37 7a 58)"),
        (gzip.compress(NDJSON, compresslevel=0, mtime=0), "gzip data (first bytes: 1f 8b 08 00)"),
        (b"SQLite format 3\x00\x10\x00\x01\x01", "an SQLite database (first bytes: 53 51 4c 69)"),
    ],
)
def test_a_known_binary_format_is_named_at_once_and_after_the_scan(data: bytes, found: str) -> None:
    with pytest.raises(InputRejected) as at_once:
        require_text(data)
    assert at_once.value.message == f"The file is not NDJSON: found {found}{EXPECTED}"
    assert describe(data) == found


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"id,text\n1,hello\n2,bye\n", "what looks like CSV (first line: id,text)"),
        (b"id\ttext\r\n1\thello\r\n", "what looks like CSV (first line: id\ttext)"),
        (b"\xef\xbb\xbfid;text\n1;hello\n", "what looks like CSV (first line: id;text)"),
        (b'[{"text":"a"},{"text":"b"}]\n', 'a JSON array or list (first line: [{"text":"a"},{"text":"b"}])'),
        (b'[\n  "a",\n  "b"\n]\n', "a JSON array or list (first line: [)"),
        (
            b'{\n  "text": "a"\n}\n{\n  "text": "b"\n}\n',
            "an object that is spread over several lines, or invalid JSON (first line: {)",
        ),
        (
            b"{'text': 'a'}\n",
            "an object that is spread over several lines, or invalid JSON (first line: {'text': 'a'})",
        ),
        (b"<html>\n<p>a</p>\n", "HTML or XML (first line: <html>)"),
        (b"\n\nhello world\nbye\n", "other text (first line: hello world)"),
        ("grüße\n".encode("latin-1"), "other text (first line: gr\ufffd\ufffde)"),
        (b"%PDF-1.4\n1 0 obj\n", "a PDF file (first bytes: 25 50 44 46)"),
        (b"\x00\x01\x02\x03\n\x04", "binary data"),
        (b"\x00\n{\xff\xfe\x80}\n{\x22\xff", "binary data"),
        ('{"text":"gr\u00fc\u00dfe"}\n'.encode("utf-16-le"), "binary data"),
        (
            b"{'text': 'caf\xe9'}",
            "an object that is spread over several lines, or invalid JSON (first line: {'text': 'caf\ufffd'})",
        ),
        (NDJSON.decode().encode("utf-16-le"), "binary data"),
        (b"x" * 200, "other text (first line: " + "x" * 80 + "…)"),
        (b"[" + b"1," * 3_000_000 + b"1]", "a JSON array or list (first line: [" + "1," * 39 + "1…)"),
    ],
)
def test_a_file_without_an_object_is_rejected_with_what_was_found_and_what_is_expected(data: bytes, found: str) -> None:
    require_text(data)
    with pytest.raises(InputRejected) as rejected:
        require_ndjson([scan(data)], data[: 64 * 1024])
    assert rejected.value.message == f"No line of the file is a JSON object: found {found}{EXPECTED}"


@pytest.mark.parametrize(
    "data", [NDJSON, b"\xef\xbb\xbf" + NDJSON, b"\r\n" + NDJSON, b" " + NDJSON, b"\x00\n" + NDJSON]
)
def test_ndjson_is_not_rejected(data: bytes) -> None:
    require_text(data)
    require_ndjson([scan(data)], data)


@pytest.mark.parametrize("first", ["GIF89a is an old format", "%PDF is what it begins with", "PAR1,PAR2", "BZh91AY&SY"])
def test_a_line_of_text_that_begins_as_a_binary_format_does_is_a_bad_line_and_no_more(first: str) -> None:
    data = f"{first}\n".encode() + NDJSON
    require_text(data)
    require_ndjson([scan(data)], data)
    for padding in ("", "."):
        require_text(f"{first}{padding}{'é' * 4000}\n".encode() + NDJSON)


@given(text=st.text(), cut=st.integers(0, 3))
def test_no_text_is_refused_by_how_it_begins_wherever_its_head_ends(text: str, cut: int) -> None:
    data = f"GIF8{text}".replace("\x00", "").encode()
    require_text(data[: max(len(data) - cut, 4)])
