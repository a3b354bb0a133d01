"""Inputs as careless and hostile clients send them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

# Everything that could confuse a reader of lines or of JSON, small enough to be combined.
FRAGMENTS = (
    b"\n",
    b"\n",
    b"\n",
    b"\r\n",
    b"\r",
    b" ",
    b"\t",
    b"\x0b",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xef\xbb",
    b"\xc3\xa9",
    b"\xe2\x80\xa8",
    b"\xf0\x9f\x98\x80",
    b"\xf0\x9f",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b'"',
    b"\\",
    b"\\n",
    b"\\ud83d",
    b"\\ude00",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"-",
    b"1",
    b"NaN",
    b'"text"',
    b'"id"',
    b"null",
    b'{"text":"a"}',
    b'{"text": "\xc3\xa9", "id": 7}',
    b'{"text":""}',
    b"x" * 40,
)


def input_bytes(max_pieces: int = 40) -> st.SearchStrategy[bytes]:
    """Any bytes, biased to line ends, marks, cut characters and pieces of JSON."""
    pieces = st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=12))
    return st.lists(pieces, max_size=max_pieces).map(b"".join)


def numbers() -> st.SearchStrategy[str]:
    """JSON numbers as they may be written, exact digits and all."""
    return st.one_of(
        st.integers().map(str),
        st.sampled_from(["-0", "1e5", "1E+5", "1.10", "0.1000000000000000000001", "1e400", "-1e-400", "9" * 400]),
        st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    )


def json_strings() -> st.SearchStrategy[str]:
    """JSON strings as they may be written: escaped or not."""
    text = st.text(max_size=12).map(lambda value: value.encode("utf-8", "ignore").decode())
    return st.one_of(
        text.map(json.dumps),
        text.map(lambda value: json.dumps(value, ensure_ascii=False)),
        st.sampled_from(
            ['"\\u0061"', '"a\\/b"', '"\\u00E9"', '"\\ud83d\\ude00"', '"\\\\ud800"', '"\\u0000"', '"\x7f"', '"\u2028"']
        ),
    )


def json_values() -> st.SearchStrategy[Any]:
    """Any JSON value, without the floats that JSON lacks."""
    return st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        ),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
        max_leaves=8,
    )
