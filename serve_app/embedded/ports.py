"""TCP ports of 127.0.0.1 for servers that start to listen only some seconds after their port was chosen."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from serve_app.embedded.exceptions import EmbeddedStackError

_LOWEST = 20_000
"""Below are the ports of Ray's workers."""
_LEAST = 1_000
"""Fewer ports than these are too few to draw from."""
_TRIES = 100
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_LOWEST = 32_768
"""Of Linux; other systems begin higher."""


def choose_port(told: int | None, last: int) -> int:
    """``told`` if there is one, else ``last`` where it is free and not 0, else any. Raises EmbeddedStackError if the
    first is taken."""
    if told is not None:
        if not _is_free(told):
            raise EmbeddedStackError(f"Port {told} is taken: stop what listens on it, or choose another port")
        return told
    return last if last and _is_free(last) else free_port()


def free_port() -> int:
    """A port that nothing listens on now, and that the system gives to no connection of another program meanwhile,
    unless it keeps hardly any such ports."""
    lowest_ephemeral = _lowest_ephemeral()
    highest = (lowest_ephemeral if lowest_ephemeral >= _LOWEST + _LEAST else _EPHEMERAL_LOWEST) - 1
    for _ in range(_TRIES):
        port = random.randint(_LOWEST, highest)
        if _is_free(port):
            return port
    raise EmbeddedStackError(f"No TCP port from {_LOWEST} to {highest} was found free in {_TRIES} tries; name one")


def _lowest_ephemeral() -> int:
    try:
        return int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _EPHEMERAL_LOWEST


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
