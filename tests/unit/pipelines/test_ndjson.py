from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines import ndjson
from pipelines.ndjson import MAX_TEXT_CHARACTERS, ErrorCode, Item, ItemError, parse_line, split_lines
from pipelines.ranges import MAX_LINE_BYTES
from tests.unit.pipelines.line_contract import assert_contract, result_line, strictly_parsed
from tests.unit.pipelines.strategies import input_bytes, json_strings, json_values, numbers

CODES = set(get_args(ErrorCode))


def error_of(line: bytes) -> ItemError:
    item = parse_line(line)
    assert item.error is not None
    assert item.text is None
    return item.error


@given(line=st.one_of(st.binary(max_size=60), input_bytes(12)))
@example(line=b"")
@example(line=b"\x00")
@example(line=b"-")
def test_any_bytes_are_judged_as_a_strict_json_reader_does(line: bytes) -> None:
    assert_contract(line.strip(b" \t\r\n"))


@given(value=json_values(), ascii_only=st.booleans())
def test_any_json_value_is_judged_as_a_strict_json_reader_does(value: Any, ascii_only: bool) -> None:
    assert_contract(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@given(
    fields=st.lists(
        st.tuples(
            st.sampled_from(["text", "id", "custom_id", "other", "\\u0074ext", "\\ud800", "Text", ""]),
            st.one_of(json_strings(), numbers(), json_values().map(json.dumps), st.just('"\\udc00x"')),
        ),
        max_size=5,
    ),
    gap=st.sampled_from(["", " ", "\t", "\r", "  "]),
)
@example(fields=[("text", '"\\ud83d"'), ("text", '"b"')], gap="")
@example(fields=[("text", '"b"'), ("text", '"\\ud83d"')], gap="")
@example(fields=[("text", '"\\ud83d\\ud83d\\ude00"')], gap="")
@example(fields=[("text", '["\\ud83d"]')], gap="")
@example(fields=[("text", '"\\\\ud83d"')], gap="")
def test_any_object_is_judged_as_a_strict_json_reader_does(fields: list[tuple[str, str]], gap: str) -> None:
    body = f"{gap},{gap}".join(f'"{name}"{gap}:{gap}{value}' for name, value in fields)
    assert_contract(f"{{{gap}{body}{gap}}}".encode("utf-8", "surrogatepass"))


@given(
    cut=st.integers(0, 80), line=st.sampled_from([b'{"id":"\\u00e9\xc3\xa9","text":"a\\ud83d\\ude00b\\"","n":-1.5e3}'])
)
def test_a_line_cut_anywhere_is_judged_as_a_strict_json_reader_does(cut: int, line: bytes) -> None:
    assert_contract(line[:cut])
    assert_contract(line[cut:].strip(b" \t\r\n"))


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (b"text", "invalid_json", "The line is not valid JSON: invalid character (byte 1)"),
        (b'{"text":"a"', "invalid_json", "The line is not valid JSON: Input data was truncated"),
        (b'{"text":"a"} {}', "invalid_json", "The line is not valid JSON: trailing characters (byte 14)"),
        (b'{"text":"a","n":NaN}', "invalid_json", "The line is not valid JSON: invalid character (byte 16)"),
        (b'{"text":"a\tb"}', "invalid_json", "The line is not valid JSON: invalid character (byte 10)"),
        (b'["text"]', "not_an_object", "The line must be a JSON object, not an array"),
        (b'"text"', "not_an_object", "The line must be a JSON object, not a string"),
        (b"-12.5e3", "not_an_object", "The line must be a JSON object, not a number"),
        (b"1e999", "not_an_object", "The line must be a JSON object, not a number"),
        (b"[1e999]", "not_an_object", "The line must be a JSON object, not an array"),
        (b'"\\ud800"', "not_an_object", "The line must be a JSON object, not a string"),
        (b'["\\ud800"]', "not_an_object", "The line must be a JSON object, not an array"),
        (b"true", "not_an_object", "The line must be a JSON object, not true"),
        (b"false", "not_an_object", "The line must be a JSON object, not false"),
        (b"null", "not_an_object", "The line must be a JSON object, not null"),
        (b"{}", "missing_text", 'The object has no field "text"'),
        (b'{"Text":"a","texts":"b"}', "missing_text", 'The object has no field "text"'),
        (b'{"data":{"text":"a"}}', "missing_text", 'The object has no field "text"'),
        (b'{"text":null}', "invalid_text", '"text" must be a string, not null'),
        (b'{"text":7}', "invalid_text", '"text" must be a string, not a number'),
        (b'{"text":-7}', "invalid_text", '"text" must be a string, not a number'),
        (b'{"text":["a"]}', "invalid_text", '"text" must be a string, not an array'),
        (b'{"text":["\\ud800"]}', "invalid_text", '"text" must be a string, not an array'),
        (b'{"text":{"a":1}}', "invalid_text", '"text" must be a string, not an object'),
        (b'{"text":true}', "invalid_text", '"text" must be a string, not true'),
        (b'{"text":""}', "empty_text", '"text" is empty'),
        (b'{"text":" \\n\\t\\u00a0\\u3000 "}', "empty_text", '"text" is empty'),
        (b'{"text":"\xff"}', "invalid_encoding", "Byte 9 of the line (0xff) is not UTF-8"),
        (b'{"text":"\xe4"}', "invalid_encoding", "Byte 9 of the line (0xe4) is not UTF-8"),
        (b'{"text":"\xed\xa0\x80"}', "invalid_encoding", "Byte 9 of the line (0xed) is not UTF-8"),
        (b'{"text":"\xc0\xaf"}', "invalid_encoding", "Byte 9 of the line (0xc0) is not UTF-8"),
    ],
)
def test_an_item_that_cannot_be_classified_has_the_code_and_the_reason(line: bytes, code: str, message: str) -> None:
    assert error_of(line) == ItemError(code, message)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["\\ud800", "a\\udc00b", "\\ude00\\ud83d", "\\ud83d\\u0041", "\\uD83D", "\\ud83d\\ud83d\\ude00", "\\\\\\ud800"],
)
def test_half_of_a_surrogate_pair_in_the_text_is_an_invalid_text(text: str) -> None:
    assert error_of(f'{{"id":1,"text":"{text}"}}'.encode()) == ItemError(
        "invalid_text", '"text" holds half of a surrogate pair (\\ud800-\\udfff), which is no character'
    )


@pytest.mark.parametrize(
    "line",
    [
        '{"other":"\\ud800","text":"a"}',
        '{"\\ud800":1,"text":"a"}',
        '{"id":"\\udfff","text":"a"}',
        '{"other":["\\ud800",{"\\udc00":1}],"text":"a"}',
    ],
)
def test_half_of_a_surrogate_pair_outside_the_text_does_no_harm(line: str) -> None:
    assert parse_line(line.encode()) == Item(text="a")


def test_an_id_with_half_of_a_surrogate_pair_is_left_out_and_the_other_stays() -> None:
    assert parse_line(b'{"id":"\\ud800","custom_id":1.10,"text":"a"}') == Item(text="a", ids='"custom_id":1.10,')


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse_line(b'{"text":"\\ud83d\\ude00"}').text == "😀"


def test_an_escaped_backslash_before_a_surrogates_digits_is_no_surrogate() -> None:
    assert parse_line(b'{"text":"\\\\ud800"}').text == "\\ud800"


def test_utf_16_is_not_taken_for_json() -> None:
    line = '{"text":"畜㡤"}'.encode("utf-16-le")
    assert b"\\ud8" in line
    assert error_of(line).code == "invalid_json"


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"text":"a","n":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"text":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"text":"\\ud800","n":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_nesting_beyond_what_can_be_read_is_named(line: bytes) -> None:
    assert error_of(line) == ItemError("invalid_json", "The line is nested too deeply")


def test_unclosed_nesting_of_mebibytes_is_an_error_of_its_line_only() -> None:
    assert error_of(b"[" * MAX_LINE_BYTES).code == "invalid_json"
    assert error_of(b'{"text":' * (MAX_LINE_BYTES // 8)).code == "invalid_json"


@pytest.mark.parametrize("character", ["a", "é", "😀", "\\ud83d\\ude00", "\\u0041"])
def test_a_text_may_have_100_000_characters_and_not_one_more(character: str) -> None:
    longest = parse_line(f'{{"text":"{character * 100_000}"}}'.encode())
    assert longest.text is not None
    assert len(longest.text) == MAX_TEXT_CHARACTERS == 100_000
    assert error_of(f'{{"id":3,"text":"{character * 100_001}"}}'.encode()) == ItemError(
        "text_too_long", '"text" has 100,001 characters; the limit is 100,000'
    )


def test_a_line_may_have_4_mebibytes_and_not_one_byte_more() -> None:
    fixed = len(b'{"pad":"","text":"a"}')
    fits = b'{"pad":"' + b"x" * (4 * 1024 * 1024 - fixed) + b'","text":"a"}'
    assert parse_line(fits).text == "a"
    too_long = ItemError("line_too_long", "The line is longer than 4,194,304 bytes")
    assert error_of(fits + b" ") == too_long
    for end in (b"", b"\n", b"\r\n", b"\r"):
        items = [parse_line(line) for line in split_lines(fits + end + fits.replace(b"x", b"xx", 1) + end, first=True)]
        if end in (b"\n", b"\r\n"):
            assert [item.text or item.error for item in items] == ["a", too_long]
        else:
            assert [item.error for item in items] == [too_long]


def test_of_a_repeated_field_the_last_counts() -> None:
    item = parse_line(b'{"text":"a","id":1,"text":"b","id":"2"}')
    assert (item.text, item.ids) == ("b", '"id":"2",')
    assert error_of(b'{"text":"a","text":null}').code == "invalid_text"
    assert parse_line(b'{"id":1,"text":"a","id":null}').ids == ""


def test_an_escaped_field_name_is_the_field() -> None:
    assert parse_line(b'{"\\u0074ext":"a","i\\u0064":5}') == Item(text="a", ids='"id":5,')


@given(
    value=st.one_of(numbers(), json_strings()),
    name=st.sampled_from(["id", "custom_id"]),
    gap=st.sampled_from(["", " ", "\t"]),
)
@example(value="9007199254740993", name="id", gap="")
@example(value="123456789012345678901234567890", name="id", gap="")
@example(value="9" * 5000, name="custom_id", gap=" ")
@example(value="-0.10E+05", name="id", gap="")
@example(value='"\\u00e9\\/\\"\\n"', name="id", gap="")
@example(value='"é😀"', name="custom_id", gap="")
@example(value='""', name="id", gap="")
@pytest.mark.parametrize("text", ['"a"', "null", '""', '"\\ud800"'])
def test_an_id_is_echoed_byte_for_byte_whatever_becomes_of_the_text(text: str, value: str, name: str, gap: str) -> None:
    item = parse_line(f'{{"text":{text},{gap}"{name}"{gap}:{gap}{value}{gap}}}'.encode())
    assert item.ids == f'"{name}":{value},'
    assert result_line(item).startswith(f'{{"{name}":{value},')
    assert strictly_parsed(result_line(item).encode())[name] == strictly_parsed(value.encode())


def test_an_item_with_both_ids_echoes_both_in_one_order() -> None:
    for line in (b'{"custom_id":"b","text":"x","id":1}', b'{"id":1,"custom_id":"b","text":"x"}'):
        assert parse_line(line).ids == '"id":1,"custom_id":"b",'


@pytest.mark.parametrize("value", ["null", "true", "false", "[1]", '{"a":1}', '["\\ud800"]'])
def test_an_id_that_is_neither_string_nor_number_is_ignored(value: str) -> None:
    item = parse_line(f'{{"id":{value},"custom_id":4,"text":"a"}}'.encode())
    assert item == Item(text="a", ids='"custom_id":4,')


def test_a_line_that_is_no_json_has_no_id() -> None:
    assert parse_line(b'{"id":1,"text":"a"').ids == ""
    assert parse_line(b'{"id":1,"text":"\xff"}').ids == ""


def test_a_text_is_kept_as_it_is() -> None:
    assert parse_line('{"text":"  a\\r\\n\\u0000é\u2028 \x7f "}'.encode()).text == "  a\r\n\x00é\u2028 \x7f "


@given(data=input_bytes(), first=st.booleans(), piece=st.integers(0, 9))
def test_lines_are_the_same_in_pieces_of_any_size(data: bytes, first: bool, piece: int) -> None:
    whole = list(split_lines(data, first=first))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ndjson, "_SPLIT_BYTES", piece)
        assert list(split_lines(data, first=first)) == whole


def test_every_code_of_a_line_is_one_of_the_contracts() -> None:
    assert {
        "invalid_json",
        "not_an_object",
        "missing_text",
        "invalid_text",
        "empty_text",
        "text_too_long",
        "invalid_encoding",
        "line_too_long",
        "classifier_error",
    } == CODES
