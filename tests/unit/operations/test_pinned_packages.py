"""The packages that nodes get: the same versions on every node, and nothing known against them."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from collections.abc import Iterable
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    require_pinned(wanted, "constraints.txt")


def test_vllm_has_versions_of_its_own_that_fit_what_this_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    require_pinned(
        [*project["dependencies"], *extras["server"], *extras["llm"]], "serve_app/operations/constraints-llm.txt"
    )


def require_pinned(wanted: Iterable[str], file: str) -> None:
    """That the file pins each of these, at a version that they allow, and holds nothing but pins."""
    lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


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
