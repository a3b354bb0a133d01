"""`labelworks doctor` on the running stack."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.integration.service import RunningStack


def doctor(stack: RunningStack, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "labelworks", "doctor", "--data", str(stack.folder), "--json", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_a_healthy_stack_needs_nothing_fixed(stack: RunningStack) -> None:
    examined = doctor(stack)

    findings = {finding["check"]: finding for finding in json.loads(examined.stdout)}
    assert [finding for finding in findings.values() if not finding["ok"]] == []
    assert {"bucket", "client's links", "Ray", "job registry", "engine minilm", "engine static"} <= findings.keys()
    assert examined.returncode == 0


def test_a_ray_that_does_not_answer_is_said_at_once_with_exit_code_1(stack: RunningStack) -> None:
    examined = doctor(stack, "--ray-address", "127.0.0.1:9")

    (finding,) = [finding for finding in json.loads(examined.stdout) if not finding["ok"]]
    assert finding["check"] == "Ray"
    assert "127.0.0.1:9" in finding["found"]
    assert examined.returncode == 1
