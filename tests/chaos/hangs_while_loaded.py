"""An engine that hangs while it is loaded, as one does whose weights are on a mount that does not answer.

Named to the service as ``LABELWORKS_MODELS=["tests.chaos.hangs_while_loaded"]``.
"""

from __future__ import annotations

import ctypes

from models.protocol import Engine, TokenCounter
from models.registry import load_token_counter as load_counter


def load(threads: int | None, weights: str | None) -> Engine:
    # Without giving the interpreter's lock up, so that no thread of Python runs any more.
    while True:
        ctypes.PyDLL(None).pause()


def load_token_counter(weights: str | None) -> TokenCounter:
    return load_counter("static")
