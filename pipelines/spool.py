"""Files for what is written before it is stored: in memory while they are small, on the node's disk beyond."""

from __future__ import annotations

from tempfile import SpooledTemporaryFile

_IN_MEMORY_BYTES = 16 * 1024 * 1024


def spool() -> SpooledTemporaryFile[bytes]:
    """An empty file, which is gone once it is closed."""
    return SpooledTemporaryFile(_IN_MEMORY_BYTES)
