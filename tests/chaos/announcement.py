"""How the stacks of these tests tell that they are ready, and wait to be stopped: as ``labelworks dev`` does."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import asdict
from types import FrameType

from serve_app.embedded.stack import Ready


class Announcement:
    """Make it before Ray starts: Ray prints to standard output, which is kept for one line."""

    def __init__(self) -> None:
        self._output = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def serve_until_stopped(self, ready: Ready) -> None:
        stop = threading.Event()

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGINT, on_signal)
        signal.signal(signal.SIGTERM, on_signal)
        print(f"READY {json.dumps(asdict(ready))}", file=self._output, flush=True)
        while not stop.wait(0.5):
            pass
