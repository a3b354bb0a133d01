"""What `labelworks doctor` makes of its findings: what it says in the end, and its exit code."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from labelworks.cli import app
from serve_app.doctor import cluster, models, storage
from serve_app.doctor.finding import Finding

FINE = Finding("bucket", True, "answers")
UNTRIED = Finding("engine minilm", None, "not tried on a node", "Run this again.")
BROKEN = Finding("engine static", False, "on a node: died", "Look at its logs.")


@pytest.mark.parametrize(
    ("findings", "exit_code", "last"),
    [
        ([FINE], 0, "All is well."),
        ([FINE, UNTRIED], 0, "Nothing to fix, 1 not tried"),
        ([BROKEN, UNTRIED, FINE], 1, "1 to fix, 1 not tried"),
        ([BROKEN], 1, "1 to fix"),
    ],
)
def test_what_could_not_be_tried_is_said_with_what_to_do_and_is_no_failure_by_itself(
    findings: list[Finding], exit_code: int, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "examine_storage", lambda *_: [])
    monkeypatch.setattr(models, "examine_tokenizers", lambda *_: [])
    monkeypatch.setattr(cluster, "examine_cluster", lambda *_: findings)
    told = {"LABELWORKS_S3_BUCKET": "any", "RAY_AUTH_MODE": "token", "COLUMNS": "200"}

    result = CliRunner().invoke(app, ["doctor"], env=told)

    assert result.exit_code == exit_code, result.output
    assert result.stderr.splitlines()[-1] == last
    assert ("?   engine minilm: not tried on a node" in result.stderr) == (UNTRIED in findings)
    assert ("→ Run this again." in result.stderr) == (UNTRIED in findings)
