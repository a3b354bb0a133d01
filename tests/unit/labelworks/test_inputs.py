from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from labelworks.errors import InputError
from labelworks.inputs import InputFile, is_item, item_lines
from pipelines.ndjson import parse_line, split_lines
from pipelines.ranges import MAX_LINE_BYTES
from tests.unit.pipelines.strategies import input_bytes


@given(input_bytes())
def test_the_client_sees_the_items_that_the_service_sees(data: bytes) -> None:
    assert list(item_lines(io.BytesIO(data))) == list(split_lines(data, first=True))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n", b"\r\r\n"])
@pytest.mark.parametrize("length", [MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 1])
def test_a_blank_line_at_the_limit_is_an_item_to_the_client_where_it_is_to_the_service(length: int, end: bytes) -> None:
    line = b" " * length + end
    assert is_item(line) == bool(list(split_lines(line, first=True)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.ndjson", "ndjson"),
        ("a.jsonl.gz", "ndjson"),
        ("a.CSV", "csv"),
        ("a.tsv.gz", "csv"),
        ("a.parquet", "parquet"),
        ("a.csv.txt", "ndjson"),
        ("noending", "ndjson"),
    ],
)
def test_the_name_tells_the_format(name: str, kind: str) -> None:
    assert InputFile(Path(name)).format == kind


def converted(file: InputFile) -> list[bytes]:
    target = file.path.with_name("converted")
    file.write_ndjson(target)
    return target.read_bytes().splitlines()


def test_another_text_field_is_renamed_and_bad_lines_stay_bad(tmp_path: Path) -> None:
    path = tmp_path / "in.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"id":1,"body":"x","text":"not this"}\n{"no":1}\n{"body":5}\nbroken\n'))
    lines = converted(InputFile(path, "body"))
    assert json.loads(lines[0]) == {"id": 1, "text": "x"}
    codes = [item.error.code if item.error else None for item in map(parse_line, lines)]
    assert codes == [None, "missing_text", "invalid_text", "invalid_json"]


def test_a_text_field_that_no_object_has_is_refused_with_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "in.ndjson.gz"
    path.write_bytes(gzip.compress(b'broken\n{"id":1,"body":"x"}\n{"text":"y"}\n'))
    with pytest.raises(InputError, match=r"in\.ndjson\.gz has no line with a field 'boddy'; its first has: id, body"):
        converted(InputFile(path, "boddy"))
    path.write_bytes(gzip.compress(b"{}\n"))
    with pytest.raises(InputError, match="its first has: no fields"):
        converted(InputFile(path, "boddy"))
    # Of the service's own field each line is the service's to judge, and so are lines that are no objects.
    path.write_bytes(gzip.compress(b'{"body":"x"}\n'))
    assert converted(InputFile(path)) == [b"{}"]
    path.write_bytes(gzip.compress(b"broken\n"))
    assert converted(InputFile(path, "boddy")) == [b"broken"]


@given(text=st.text(), number=st.one_of(st.integers(), st.floats(), st.none()))
def test_any_text_survives_the_conversion(tmp_path_factory: pytest.TempPathFactory, text: str, number: object) -> None:
    path = tmp_path_factory.mktemp("in") / "in.ndjson"
    path.write_text(json.dumps({"custom_id": number, "body": text}) + "\n")
    (line,) = converted(InputFile(path, "body"))
    assert parse_line(line).error is None or not text.strip()
    assert json.loads(line)["text"] == text


def test_a_column_that_nobody_sends_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    row = f"7,{'word ' * 200},5\n"
    with path.open("wb") as file:
        file.write(b"id,text,stars\n")
        file.write(row.encode() * (18_000_000 // len(row)))
        file.write(b"8,last,many \xff\n")
    lines = converted(InputFile(path))
    assert json.loads(lines[-1]) == {"id": "8", "text": "last"}
    *_, last = InputFile(path).items()
    assert last == {"id": "8", "text": "last", "stars": "many \ufffd"}


def test_a_column_that_nobody_sends_may_be_named_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b'\n"in two\nlines",text,Gr\xf6\xdfe\n1,hello,3\n\n2,last,4\n')
    assert list(map(json.loads, converted(InputFile(path)))) == [{"text": "hello"}, {"text": "last"}]
    assert [list(item.items()) for item in InputFile(path).items() if item] == [
        [("in two\nlines", "1"), ("text", "hello"), ("Gr\ufffd\ufffde", "3")],
        [("in two\nlines", "2"), ("text", "last"), ("Gr\ufffd\ufffde", "4")],
    ]


@pytest.mark.parametrize("name", ["id", "at"])
@pytest.mark.parametrize(
    "column",
    [
        pa.array([0, 2**58], pa.timestamp("us")),
        pa.array([0, 2**30], pa.date32()),
        pa.array([0, 2**62], pa.duration("s")),
        pa.array([0, 1], pa.timestamp("s", "Mars/Olympus")),
        pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")),
    ],
)
def test_a_value_that_python_cannot_hold_is_none(tmp_path: Path, column: Any, name: str) -> None:
    path = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"text": ["one", "two"], name: column}), path)
    assert [json.loads(line)["text"] for line in converted(InputFile(path))] == ["one", "two"]
    *_, second = InputFile(path).items()
    assert second == {"text": "two", name: None}


def test_a_number_of_more_digits_than_python_reads_is_a_string_of_them(tmp_path: Path) -> None:
    path = tmp_path / "in.ndjson"
    path.write_text(f'{{"id": {"9" * 5000}, "n": 1, "text": "x"}}\n{"9" * 5000}\n')
    assert list(InputFile(path).items()) == [{"id": "9" * 5000, "n": 1, "text": "x"}, None]


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(),
        pa.large_binary(),
        pa.binary(3),
        pa.binary_view(),
        pa.large_string(),
        pa.dictionary("i4", "string"),
        pa.json_(),
    ],
)
def test_a_text_may_be_of_any_type_that_holds_strings(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"text": pa.array(["n\u00e9", None, "two"]).cast(kind)}), path)
    assert [json.loads(line)["text"] for line in converted(InputFile(path))] == ["n\u00e9", None, "two"]
    assert [item and item["text"] for item in InputFile(path).items()] == ["n\u00e9", None, "two"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.string()])
def test_a_text_that_is_not_utf8_is_refused_by_its_row(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "in.parquet"
    texts = pa.array([b"x"] * 8192 + [b"Gr\xf6\xdfe"]).cast(kind, safe=False)
    parquet.write_table(pa.table({"text": texts}), path)
    with pytest.raises(InputError, match=r"in\.parquet: the text of row 8,193 is not UTF-8: .* 0xf6"):
        converted(InputFile(path))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.int64(), "int64"),
        (pa.list_(pa.string()), "list<element: string>"),
        (pa.dictionary("i4", "i8"), "int64"),
        (pa.timestamp("us"), r"timestamp\[us\]"),
    ],
)
def test_a_column_that_holds_no_texts_is_refused_by_its_type(tmp_path: Path, kind: pa.DataType, name: str) -> None:
    path = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"text": pa.array([None], kind)}), path)
    with pytest.raises(InputError, match=rf"in\.parquet: column 'text' is of type {name}; texts must be strings"):
        converted(InputFile(path))


def test_the_ending_of_a_compressed_table_may_be_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "IN.CSV.GZ"
    path.write_bytes(gzip.compress(b"text\nhello\n"))
    assert converted(InputFile(path)) == [b'{"text": "hello"}']


@pytest.mark.parametrize("name", ["in.csv", "in.parquet"])
def test_a_column_that_is_there_twice_is_refused_where_it_is_needed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for columns in (["text", "text"], ["text", "id", "id"], ["text", "n", "n"]):
        if name == "in.csv":
            path.write_text(f"{','.join(columns)}\n{','.join(columns)}\n")
        else:
            parquet.write_table(pa.table([pa.array(["x"])] * len(columns), names=columns), path)
        if "n" in columns:
            assert len(converted(InputFile(path))) == len(list(InputFile(path).items())) == 1
        else:
            with pytest.raises(InputError, match=rf"{name} has 2 columns '{columns[-1]}'"):
                converted(InputFile(path))


@pytest.mark.parametrize("number", ["1.50", "12345678901234567890.5", "1e3", "-0", "9" * 5000])
def test_numbers_stay_as_they_were_written(tmp_path: Path, number: str) -> None:
    path = tmp_path / "in.ndjson"
    path.write_text(f'{{"id": {number}, "body": "x"}}\n')
    assert converted(InputFile(path, "body")) == [f'{{"id": {number}, "text": "x"}}'.encode()]


def test_a_line_keeps_its_number_in_the_conversion(tmp_path: Path) -> None:
    path = tmp_path / "in.ndjson"
    path.write_bytes(b'\xef\xbb\xbf\n \r\n{"body":"a"}\r\n\noops')
    assert converted(InputFile(path, "body")) == [b"", b" ", b'{"text": "a"}', b"", b"oops"]


@pytest.mark.parametrize("name", ["in.ndjson.gz", "in.csv.gz"])
@pytest.mark.parametrize("damage", ["cut", "overwritten", "absent"])
def test_a_file_that_is_no_whole_gzip_file_is_refused_by_its_name(tmp_path: Path, name: str, damage: str) -> None:
    lines = b"text\n" + b"".join(b"%d\n" % (number * 7919 % 100_003) for number in range(50_000))
    packed = gzip.compress(lines)
    half = len(packed) // 2
    path = tmp_path / name
    path.write_bytes({"cut": packed[:half], "overwritten": packed[:half] + b"\xff" * half, "absent": lines}[damage])
    with pytest.raises(InputError, match=rf"{name} cannot be read: .*; compress it again, or take \.gz off its name"):
        converted(InputFile(path))


@pytest.mark.parametrize("name", ["in.csv", "in.parquet", "in.ndjson"])
def test_a_file_without_items_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "in.parquet":
        parquet.write_table(pa.table({"body": pa.array([], pa.string())}), path)
    else:
        path.write_text("body\n" if name == "in.csv" else "\n \n")
    with pytest.raises(InputError, match=f"{name} holds no items"):
        converted(InputFile(path, "body"))


@pytest.mark.parametrize("data", [b"", b"\n\n", b"x" * 200_000])
def test_a_csv_file_without_a_header_is_refused_by_its_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"in\.csv is "):
        converted(InputFile(path))


def test_a_csv_file_without_the_column_is_refused_with_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("body,stars\nx,1\n")
    with pytest.raises(InputError, match="no column 'text'; it has: body, stars"):
        converted(InputFile(path))


def test_a_file_that_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"in\.parquet cannot be read"):
        converted(InputFile(path))


def test_an_empty_csv_cell_is_an_empty_text_and_not_a_missing_one(tmp_path: Path) -> None:
    path = tmp_path / "in.tsv"
    path.write_text("text\tid\n\t1\nNA\t2\n")
    assert [json.loads(line)["text"] for line in converted(InputFile(path))] == ["", "NA"]
