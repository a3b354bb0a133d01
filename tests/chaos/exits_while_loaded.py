"""An engine whose process ends while it is loaded, as one does that the system ends for want of memory.

Named to the service as ``LABELWORKS_MODELS=["tests.chaos.exits_while_loaded"]``.
"""

from __future__ import annotations

import os

from models.protocol import Engine, TokenCounter
from models.registry import load_token_counter as load_counter


def load(threads: int | None, weights: str | None) -> Engine:
    os._exit(1)


def load_token_counter(weights: str | None) -> TokenCounter:
    return load_counter("static")
