"""The packages that nodes get: the same versions on every node, and nothing known against them."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from types import ModuleType

import pytest

from tests.unit.operations.cluster_files import ROOT, cluster


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_package_that_a_node_is_set_up_with_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    commands = cluster()["head_setup_commands"] + cluster()["worker_setup_commands"]
    extras = {extra for command in commands for extra in re.search(r"EXTRAS=(\S+)", command)[1].split(",")}  # type: ignore[index]
    assert "embedding" in extras
    wanted = [line for extra in extras for line in project["optional-dependencies"][extra]] + project["dependencies"]
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {re.match(r"[\w.-]+", line)[0].lower() for line in wanted} <= pinned  # type: ignore[index]


def test_what_is_known_against_a_package_is_told_and_fails_the_audit(audit: ModuleType) -> None:
    found = {"id": "GHSA-1", "fix_versions": ["1.1", "2.0"]}
    packages = [{"name": "good", "version": "1", "vulns": []}, {"name": "bad", "version": "1.0", "vulns": [found]}]
    lines, known, complete = audit.verdict(json.dumps({"dependencies": packages}), "")
    assert (lines, known, complete) == (["bad 1.0: GHSA-1, mended in 1.1, 2.0"], True, True)


def test_an_audit_that_could_not_ask_says_so(audit: ModuleType) -> None:
    lines, known, complete = audit.verdict("", "a trace\nConnectionError: no route\n")
    assert (lines, known, complete) == (["No package was audited: ConnectionError: no route"], False, False)
    packages = [{"name": "odd", "skip_reason": "not on PyPI"}, {"name": "good", "version": "1", "vulns": []}]
    lines, known, complete = audit.verdict(json.dumps({"dependencies": packages}), "")
    assert (lines, known, complete) == (["1 of 2 packages could not be audited, odd the first"], False, False)
