"""The nodes of a cluster, head and workers, as Ray's on this machine, started by the commands that operators use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from pipelines.settings import MIB
from serve_app.embedded.ports import free_port
from tests.integration.service import descendants, kill_if_alive
from tests.unit.operations.cluster_files import ROOT

VENV = Path(sys.executable).parent
_START_SECONDS = 180.0
_SMALL_NODE = f"--object-store-memory={100 * MIB} --num-cpus="


class LocalNodes:
    """Runs operators' commands with their paths and ports moved to this machine's, and ends what they started."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.gcs, self.dashboard, self.http = free_port(), free_port(), free_port()
        self._started: list[subprocess.Popen[bytes]] = []
        token = home / ".ray" / "auth_token"
        token.parent.mkdir()
        token.write_text("0" * 64)
        (home / "labelworks").symlink_to(ROOT)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("LABELWORKS_", "RAY_"))},
            "HOME": str(home),
            "RAY_HEAD_IP": "127.0.0.1",
        }

    def moved(self, command: str) -> str:
        """The command as it is, but for what two clusters on one machine cannot both have."""
        moved = command.replace("~/labelworks/.venv/bin", str(VENV)).replace("$HOME/labelworks/.venv/bin", str(VENV))
        moved = moved.replace("6379", str(self.gcs)).replace("8265", str(self.dashboard))
        for elsewhere in ("--metrics-export-port=8080", "--autoscaling-config=~/ray_bootstrap_config.yaml"):
            moved = moved.replace(elsewhere, "")
        return moved

    def start_node(self, command: str, cpus: int) -> None:
        """Starts a node that ends with this object. ``--block`` keeps its processes below one of ours."""
        log = (self.home / "nodes.log").open("ab")
        line = f"{self.moved(command)} --block {_SMALL_NODE}{cpus} --node-ip-address=127.0.0.1"
        self._started.append(
            subprocess.Popen(["bash", "-c", line], cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        )

    def run(self, command: str, **variables: str) -> str:
        """What the command prints, with further environment ``variables``. Raises AssertionError where it fails."""
        done = subprocess.run(
            ["bash", "-c", self.moved(command)],
            cwd=ROOT,
            env=self._environment | variables,
            check=False,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
        )
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done.stdout

    def wait_until_healthy(self) -> None:
        """Until the API answers."""
        wait_until(self._is_healthy)

    def _is_healthy(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.http}/health").status_code == 200
        return False

    def stop(self) -> None:
        for node in self._started:
            for pid in [*descendants(node.pid), node.pid]:
                kill_if_alive(pid)
            node.wait()
        self._started.clear()


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.3)
