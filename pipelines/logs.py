"""Log lines of every process of the service: one JSON object a line, with the job, attempt and request it is about.

They go to standard error, which Ray keeps in a file for each process (``/tmp/ray/session_latest/logs``).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from pythonjsonlogger.json import JsonFormatter

from pipelines.settings import Settings

PACKAGES = ("models", "pipelines", "serve_app")
Field = str | int | list[str]
Fields = Mapping[str, Field]
_NONE: Fields = MappingProxyType({})
_here: ContextVar[Fields] = ContextVar("log_fields", default=_NONE)


class _FieldsFilter(logging.Filter):
    """Puts a process's fields, and those of the code that logs, on every record."""

    def __init__(self, of_process: Fields) -> None:
        super().__init__()
        self.of_process = of_process

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in {**self.of_process, **_here.get()}.items():
            setattr(record, name, value)
        return True


def configure_logging(settings: Settings, fields: Fields | None = None) -> None:
    """Have this process write the service's log lines; ``fields`` are on each of them. A later call replaces these."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(settings))
    handler.addFilter(_FieldsFilter(fields or _NONE))
    for package in PACKAGES:
        logger = logging.getLogger(package)
        logger.handlers = [handler]
        logger.setLevel(settings.log_level)
        logger.propagate = False


@contextmanager
def log_fields(**fields: Field) -> Iterator[None]:
    """Log lines of this block, in this thread or task, carry these fields too."""
    token = _here.set({**_here.get(), **fields})
    try:
        yield
    finally:
        _here.reset(token)


def current_fields() -> Fields:
    """The fields of the block that this is called in, for handing them on to another process with the call."""
    return dict(_here.get())


def current_request() -> str | None:
    """The id of the request that this is called for, if it is."""
    return str(_here.get().get("request_id", "")) or None


def process_fields() -> Fields:
    """The fields that this process was configured with, for handing them on to another."""
    for handler in logging.getLogger(PACKAGES[0]).handlers:
        for each in handler.filters:
            if isinstance(each, _FieldsFilter):
                return each.of_process
    return _NONE


def _formatter(settings: Settings) -> logging.Formatter:
    if settings.log_format == "text":
        return logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    return JsonFormatter(
        "{asctime}{levelname}{name}{message}",
        style="{",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "exception"},
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
