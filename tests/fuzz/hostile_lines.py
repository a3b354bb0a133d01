"""Lines and files that are meant to break a parser: mutated, endlessly nested, of absurd numbers and sizes."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from tests.unit.pipelines.strategies import FRAGMENTS, input_bytes, json_strings, json_values, numbers

SEEDS = (
    b'{"text":"a"}',
    b'{"id":7,"custom_id":"b","text":"\\u00e9 \\ud83d\\ude00 \xc3\xa9"}',
    b'{"text":"a","n":[1,-2.5e-3,{"deep":[null,true,false,"\\\\\\"\\/\\b\\f\\n\\r\\t"]}]}',
    b'{"text":"\\ud800","id":"\\udfff","custom_id":1e400}',
    b'\xef\xbb\xbf{"text":"\xf0\x9f\x98\x80\xe2\x80\xa8"}',
)
_NAMES = ("text", "id", "custom_id", "other", "\\u0074ext", "i\\u0064", "\\ud800", "Text", "", "text\\u0000")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A sound line with bytes changed, removed, inserted, doubled or moved."""
    line = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(line)))
        end = min(start + draw(st.integers(0, 12)), len(line))
        piece = draw(
            st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=4), st.just(bytes(line[start:end])), st.just(b""))
        )
        line[start : end if draw(st.booleans()) else start] = piece
    return bytes(line)


@st.composite
def nested(draw: st.DrawFn) -> bytes:
    """Brackets up to far beyond what any reader follows, closed, half closed or not at all."""
    depth = draw(st.one_of(st.integers(1, 1_500), st.sampled_from((10_000, 30_000))))
    opening, closing = draw(st.sampled_from([(b"[", b"]"), (b'{"text":', b"}"), (b'[{"a":', b"}]")]))
    value = opening * depth + b"1" + closing * draw(st.sampled_from([0, depth // 2, depth, depth + 1]))
    return draw(st.sampled_from([b'{"text":"a","n":%b}', b'{"text":%b}', b'{"id":%b,"text":"\\ud800"}', b"%b"])) % value


@st.composite
def fields(draw: st.DrawFn) -> bytes:
    """An object with the fields that matter, repeated and escaped, of every kind of value."""
    digits = st.integers(1, 6_000).map(lambda count: "9" * count)
    value = st.one_of(json_strings(), numbers(), digits, json_values().map(json.dumps), st.just('"\\udc00x"'))
    pairs = draw(st.lists(st.tuples(st.sampled_from(_NAMES), value), max_size=6))
    return ("{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}").encode("utf-8", "surrogatepass")


def lines() -> st.SearchStrategy[bytes]:
    """One line, as ``split_lines`` could give it."""
    found = st.one_of(mutated(), fields(), input_bytes(30), nested())
    return found.map(lambda line: line.replace(b"\n", b" ").strip(b" \t\r"))


def files() -> st.SearchStrategy[bytes]:
    """A small file of such lines, with every kind of line end."""
    ends = st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\r", b" \n\t\n", b""])
    return st.lists(st.tuples(st.one_of(mutated(), fields(), input_bytes(8)), ends), max_size=12).map(
        lambda pieces: b"".join(line + end for line, end in pieces)
    )
