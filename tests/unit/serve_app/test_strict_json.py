from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.exceptions import RequestInvalid
from serve_app.strict_json import MAX_DEPTH, is_json, require_strict_json, require_uncompressed
from tests.unit.pipelines.strategies import input_bytes, json_values


@given(value=json_values(), ascii_only=st.booleans())
def test_json_as_any_writer_makes_it_passes(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    require_strict_json(body)
    require_strict_json(b"\xef\xbb\xbf" + body)


@given(body=st.one_of(st.binary(max_size=60), input_bytes(20)))
def test_any_bytes_pass_as_what_every_reader_reads_or_are_refused(body: bytes) -> None:
    refusal: RequestInvalid | None = None
    try:
        require_strict_json(body)
    except RequestInvalid as error:
        refusal = error
    if refusal is None:
        json.dumps(json.loads(body), allow_nan=False)
    else:
        assert refusal.details == {"field": "body"}
        assert len(refusal.message.encode()) <= 600


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"labels":["a"],"labels":["b"]}', "the field 'labels' is there more than once"),
        (b'{"labels":["a"],"l\\u0061bels":["b"]}', "the field 'labels' is there more than once"),
        (b'{"examples":{"a":1,"a":2}}', "the field 'a' is there more than once"),
        (b'{"a":NaN}', "NaN is no JSON value"),
        (b'{"a":-Infinity}', "-Infinity is no JSON value"),
        (b'{"a":1e999}', "the number '1e999' is too large"),
        (b'{"a":' + b"9" * 100_000 + b"}", "is too large"),
        (b'{"a":' + b"9" * 309 + b"}", "is too large"),
        (b'{"a":"\xff"}', "byte 6 is not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "byte 6 is not UTF-8"),
        ('{"a":"é"}'.encode("latin-1"), "byte 6 is not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "byte 0 is not UTF-8"),
        (b"[" * 200_000, "nested deeper than 64 levels"),
        (b"[" * 65 + b"]" * 65, "nested deeper than 64 levels"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper than 64 levels"),
        (b'{"a":1}{', "Extra data"),
        (b"{'a':1}", "Expecting property name"),
        (b'{"a":1,}', ""),
        (b"{", "Expecting property name"),
        (b'{"' + b"k" * 100_000 + b'":1,"' + b"k" * 100_000 + b'":1}', "more than once"),
    ],
)
def test_a_body_that_readers_could_take_differently_is_refused_with_the_reason(body: bytes, words: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        require_strict_json(body)
    assert refused.value.message.startswith("The body is not valid JSON: ")
    assert words in refused.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b'{"a":[1.5e300,-0.0,123456789012345678901234567890,"\\ud83d\\ude00"]}',
        b'[{"a":1},{"a":2}]',
        b'{"a":"\\ud800"}',
        b"null",
    ],
)
def test_what_is_unusual_and_clear_passes(body: bytes) -> None:
    require_strict_json(body)


@pytest.mark.parametrize("encoding", ["identity", " Identity ", ""])
def test_a_body_that_is_said_to_be_sent_as_it_is_passes(encoding: str) -> None:
    require_uncompressed(encoding)


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x" * 1000])
def test_any_other_encoding_of_a_body_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        require_uncompressed(encoding)
    assert refused.value.message == f"Send the body uncompressed; Content-Encoding {encoding[:50]!r} is not supported"


@pytest.mark.parametrize(
    ("content_type", "json_body"),
    [
        ("application/json", True),
        ("Application/JSON; charset=latin-1", True),
        ("application/problem+json", True),
        ("text/plain", False),
        ("", False),
        ("application/jsonl", False),
        ("application/x-ndjson", False),
        ("text/json", False),
        ("text/problem+json", False),
        ("application/x/problem+json", False),
    ],
)
def test_a_content_type_says_whether_the_body_is_json(content_type: str, json_body: bool) -> None:
    assert is_json(content_type) == json_body
