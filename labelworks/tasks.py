"""Tasks as they are sent: of plain lists, strings and numbers, whatever holds them at the caller's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from numbers import Real
from typing import Any, TypeVar, cast

from labelworks.errors import InputError

TaskT = TypeVar("TaskT", bound=Mapping[str, Any])

_STRINGS = ("classifier", "source_type", "model", "mode")


def sendable(task: TaskT) -> TaskT:
    """The same task in what JSON has: labels may be an array, a Series, a set; a threshold any real number.

    What is None, or no field of a task, stays for the service to answer. Raises InputError, with the field and the
    type seen, for what cannot be meant.
    """
    return cast(TaskT, {name: value if value is None else _sendable(name, value) for name, value in task.items()})


def require_text(text: object, place: str) -> None:
    """Raises InputError unless it is a string."""
    if not isinstance(text, str):
        raise InputError(f"{place} is a {type(text).__name__}, {_shown(text)}; expected a string")


def _sendable(name: str, value: Any) -> Any:
    match name:
        case "labels":
            return _strings(name, value)
        case "descriptions":
            return {label: _string(f"descriptions[{label!r}]", text) for label, text in _by_label(name, value)}
        case "examples":
            return {label: _strings(f"examples[{label!r}]", texts) for label, texts in _by_label(name, value)}
        case "threshold":
            return _number(name, value)
    return _string(name, value) if name in _STRINGS else value


def _string(place: str, value: object) -> str:
    require_text(value, place)
    return cast(str, value)


def _strings(place: str, values: object) -> list[str]:
    if isinstance(values, str | bytes | Mapping):
        raise _unusable(place, values, "a list of strings")
    try:
        # A set gives its values in another order in every process, and a job is to be repeatable.
        found = sorted(values) if isinstance(values, set | frozenset) else list(cast(Iterable[object], values))
    except TypeError as error:
        raise _unusable(place, values, "a list of strings") from error
    return [_string(f"{place}[{index}]", value) for index, value in enumerate(found)]


def _by_label(name: str, values: object) -> Iterable[tuple[str, Any]]:
    if not isinstance(values, Mapping):
        raise _unusable(name, values, "a mapping by label")
    for label in values:
        require_text(label, f"A label in {name}")
    return values.items()


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise _unusable(name, value, "a number from 0 to 1")
    number = float(value)
    if not math.isfinite(number):
        raise _unusable(name, value, "a number from 0 to 1")
    return number


def _unusable(place: str, value: object, expected: str) -> InputError:
    return InputError(f"{place} is a {type(value).__name__}, {_shown(value)}; expected {expected}")


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
