"""Fails where a package that nodes are set up with is known to be vulnerable, and prints what is known.

Where nobody can be asked (no network, an index without such data) it says so and succeeds; with ``--strict`` it fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_CONSTRAINTS = ("constraints.txt", "serve_app/operations/constraints-llm.txt")
_SECONDS_TO_ANSWER = "10"


def main() -> int:
    with ThreadPoolExecutor() as audits:
        told = dict(zip(_CONSTRAINTS, audits.map(_audit, _CONSTRAINTS), strict=True))
    failed = False
    for name, answer in told.items():
        lines, known, complete = verdict(answer.stdout, answer.stderr)
        print("\n".join(f"{name}: {line}" for line in lines))
        failed = failed or known or ("--strict" in sys.argv[1:] and not complete)
    return int(failed)


def _audit(name: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("pip-audit")), "--format", "json", "--progress-spinner", "off"]
    command += ["--no-deps", "--disable-pip", "--timeout", _SECONDS_TO_ANSWER, "--requirement", str(_ROOT / name)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def verdict(output: str, errors: str) -> tuple[list[str], bool, bool]:
    """What to print, whether anything is known against a package, and whether all of them were asked about; of
    pip-audit's JSON and its stderr.
    """
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        last = (errors.strip().splitlines() or ["pip-audit printed nothing"])[-1]
        return [f"No package was audited: {last}"], False, False
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, mended in {_versions(found)}"
        for package in packages
        for found in package.get("vulns", [])
    ]
    known = bool(lines)
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if unknown:
        lines.append(f"{len(unknown)} of {len(packages)} packages could not be audited, {unknown[0]} the first")
    if not lines:
        lines.append(f"Nothing is known against {len(packages)} packages")
    return lines, known, not unknown


def _versions(found: dict[str, Any]) -> str:
    return ", ".join(found["fix_versions"]) or "no version"


if __name__ == "__main__":
    sys.exit(main())
