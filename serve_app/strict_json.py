"""Request bodies that every JSON reader understands in the same way, and no other."""

from __future__ import annotations

import json
import re
from math import isinf
from typing import Any

from pipelines.ranges import BOM
from serve_app.exceptions import RequestInvalid

MAX_DEPTH = 64
_INTEGER_DIGITS = 308
_JSON_TYPE = re.compile(r"application/(?:[^/]*\+)?json")


def require_strict_json(body: bytes) -> None:
    """Raises RequestInvalid unless the body is one JSON value in UTF-8 without repeated fields, numbers that a
    64-bit float does not hold, or nesting over ``MAX_DEPTH``. Halves of surrogate pairs are left to the fields.
    """
    try:
        value = json.loads(
            body.removeprefix(BOM).decode(),
            object_pairs_hook=_object,
            parse_int=_bounded,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
        _require_depth(value)
    except UnicodeDecodeError as error:
        raise _invalid(f"byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise _invalid(f"it is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise _invalid(str(error)) from error


def require_uncompressed(content_encoding: str) -> None:
    """Raises RequestInvalid unless a Content-Encoding header says that the body is sent as it is."""
    if content_encoding.strip().lower() not in ("", "identity"):
        raise RequestInvalid(
            f"Send the body uncompressed; Content-Encoding {content_encoding[:50]!r} is not supported",
            field="content-encoding",
        )


def is_json(content_type: str) -> bool:
    """Whether a Content-Type header says that the body is JSON, as FastAPI has it, which leaves any other unread."""
    return _JSON_TYPE.fullmatch(content_type.partition(";")[0].strip().lower()) is not None


def _invalid(reason: str) -> RequestInvalid:
    return RequestInvalid(f"The body is not valid JSON: {reason}"[:200], field="body")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"the field {name[:50]!r} is there more than once")
        fields[name] = value
    return fields


def _bounded(text: str) -> int:
    if len(text) > _INTEGER_DIGITS:
        raise ValueError(f"the number {text[:50]!r}… is too large")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"the number {text[:50]!r} is too large")
    return number


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _require_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise RecursionError
