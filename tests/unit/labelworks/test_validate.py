from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given

import labelworks
from labelworks.commands.validate import _PRICE_PER_MILLION_TOKENS_USD, examine, tokens_by_length
from labelworks.inputs import InputFile
from models.registry import load_token_counter
from pipelines.exceptions import InputRejected
from pipelines.ndjson import parse_line, split_lines
from pipelines.ranges import MAX_LINE_BYTES
from pipelines.scan import RangeScan, require_ndjson
from pipelines.settings import Settings
from tests.unit.pipelines.strategies import input_bytes

SAMPLE = Path(labelworks.__file__).with_name("samples") / "reviews.ndjson"
SERVER = ["ray", "boto3", "fastapi", "numpy", "pydantic_settings", "tokenizers", "openvino", "pyarrow"]


def sample_texts() -> list[str]:
    return [item["text"] for item in InputFile(SAMPLE).items() if item and isinstance(item.get("text"), str)]


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_bad_lines_are_named_by_their_number_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "in.ndjson"
    path.write_bytes(b'{"text":"one two"}\n\nbroken\n{"text":"three"}\n{"text":null}')
    report = examine(path, words)
    assert (report.items, report.estimated_tokens, report.rejected) == (4, 3, None)
    assert [(bad.line, bad.code) for bad in report.first_errors] == [(3, "invalid_json"), (5, "invalid_text")]
    assert report.errors == {"invalid_json": 1, "invalid_text": 1}


@given(input_bytes())
def test_it_counts_as_the_service_does(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("in") / "in.ndjson"
    path.write_bytes(data)
    report = examine(path, words)
    items = [parse_line(line) for line in split_lines(data, first=True)]
    if report.items or report.rejected is None:
        assert report.items == len(items)
        assert sum(report.errors.values()) == sum(item.error is not None for item in items)


def test_blank_lines_are_rejected_in_the_words_of_the_service(tmp_path: Path) -> None:
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"\n \r\n\t\n")
    with pytest.raises(InputRejected) as raised:
        require_ndjson([RangeScan(items=0, tokens=0.0, has_object=False)], path.read_bytes())
    assert examine(path, words).rejected == raised.value.message


@pytest.mark.parametrize("absent", [SERVER, [name for name in SERVER if name not in ("numpy", "pydantic_settings")]])
def test_it_works_where_only_the_client_is_installed(tmp_path: Path, absent: list[str]) -> None:
    path = tmp_path / "in.ndjson"
    path.write_bytes(b'{"text":"I was charged twice"}\nbroken\n')
    code = f"import sys; sys.modules |= dict.fromkeys({absent}); from labelworks.cli import main; main()"
    command = [sys.executable, "-c", code, "validate", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 3, found.stderr
    assert "line 2: invalid_json" in found.stdout
    assert "About 4 tokens by length" in found.stdout


def test_tokens_by_length_are_near_those_of_the_default_model() -> None:
    texts = sample_texts()
    counted = sum(load_token_counter("minilm").count(texts))
    assert sum(tokens_by_length(texts)) == pytest.approx(counted, rel=0.15)


def test_tokens_by_length_of_a_text_longer_than_the_models_window_are_those_of_all_of_it() -> None:
    text = (" ".join(sample_texts()) * 10)[:100_000]
    (counted,) = load_token_counter("minilm").count([text])
    assert tokens_by_length([text]) == pytest.approx([counted], rel=0.15)


def test_the_price_is_that_of_the_service() -> None:
    assert Settings().price_per_million_tokens_usd == _PRICE_PER_MILLION_TOKENS_USD


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04zip", b"text,stars\nx,1\n"])
def test_a_file_that_is_not_ndjson_is_rejected(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "in.ndjson"
    path.write_bytes(data)
    assert examine(path, words).rejected is not None


def test_the_estimate_of_a_large_file_is_near(tmp_path: Path) -> None:
    path = tmp_path / "in.ndjson"
    path.write_text("".join(f'{{"text":"{"w " * (number % 40 + 1)}"}}\n' for number in range(40_000)))
    assert examine(path, words).estimated_tokens == pytest.approx(40_000 * 20.5, rel=0.03)


def test_a_line_that_is_too_long_is_one_item(tmp_path: Path) -> None:
    path = tmp_path / "in.ndjson"
    path.write_bytes(b'{"text":"x"}\n' + b" " * (3 * MAX_LINE_BYTES) + b'\n{"text":"y"}\n')
    report = examine(path, words)
    assert report.items == 3
    assert [(bad.line, bad.code) for bad in report.first_errors] == [(2, "line_too_long")]
