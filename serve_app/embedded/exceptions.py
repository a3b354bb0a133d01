"""What can keep the embedded stack from running."""

from __future__ import annotations


class EmbeddedStackError(Exception):
    """The embedded stack cannot run; the message is one line that says why and what to do."""
