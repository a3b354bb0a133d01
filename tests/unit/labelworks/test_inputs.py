from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelworks.errors import InputError
from labelworks.inputs import InputFile, item_lines
from pipelines.ndjson import parse_line, split_lines
from tests.unit.pipelines.strategies import input_bytes


@given(input_bytes())
def test_the_client_sees_the_items_that_the_service_sees(data: bytes) -> None:
    assert list(item_lines(io.BytesIO(data))) == list(split_lines(data, first=True))


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


@given(text=st.text(), number=st.one_of(st.integers(), st.floats(), st.none()))
def test_any_text_survives_the_conversion(tmp_path_factory: pytest.TempPathFactory, text: str, number: object) -> None:
    path = tmp_path_factory.mktemp("in") / "in.ndjson"
    path.write_text(json.dumps({"custom_id": number, "body": text}) + "\n")
    (line,) = converted(InputFile(path, "body"))
    assert parse_line(line).error is None or not text.strip()
    assert json.loads(line)["text"] == text


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
