"""Columns of Arrow, which may hold what Python cannot, as values of Python."""

from __future__ import annotations

import re
from typing import Any

_TEXT_TYPE = re.compile(r"(large_)?(string|binary)|(string|binary)_view|fixed_size_binary\[\d+\]|null")
# Which of them is raised depends on the column's type, and on what is installed.
_NO_PYTHON_VALUE = (ArithmeticError, ImportError, LookupError, NotImplementedError, TypeError, ValueError)


def may_hold_texts(kind: Any) -> bool:
    """Whether a column of this type of Arrow holds strings, or their bytes, or nothing at all."""
    from pyarrow import types

    # A list too has a value_type.
    stored = kind.value_type if types.is_dictionary(kind) else getattr(kind, "storage_type", kind)
    return _TEXT_TYPE.fullmatch(str(stored)) is not None


def as_text(value: object) -> object:
    """What a text's bytes say, which some writers of Parquet give for a string. Raises UnicodeDecodeError."""
    return value.decode() if isinstance(value, bytes) else value


def python_values(column: Any) -> list[Any]:
    """The values of a column of Arrow; None for one that Python has no type for, such as a time after 9999."""
    try:
        values: list[Any] = column.to_pylist()
    except _NO_PYTHON_VALUE:
        return [_python_value(value) for value in column]
    return values


def _python_value(value: Any) -> Any:
    try:
        return value.as_py()
    except _NO_PYTHON_VALUE:
        return None
