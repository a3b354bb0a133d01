"""Fuzz the reading of input lines for some minutes: `python -m tests.fuzz.fuzz_lines --minutes 10`.

Every line is judged by an independent reader too, so that a wrong answer is found as well as a crash. The first
failure ends the run, shrunk to a small example; its round's seed makes it happen again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from pipelines.ndjson import count_lines, parse_line, split_lines
from pipelines.scan import scan_lines
from tests.fuzz.hostile_lines import files, lines
from tests.unit.pipelines.line_contract import assert_contract

_EXAMPLES_A_ROUND = 1_000
# Up to this depth every line must be judged by what it holds; beyond it, it may be refused for its depth.
_READABLE_DEPTH = 500


def check_line(line: bytes) -> None:
    """The line is judged as the contract says, or refused for a nesting that nobody needs."""
    error = parse_line(line).error
    if error is not None and error.message == "The line is nested too deeply":
        assert error.code == "invalid_json"
        assert line.count(b"[") + line.count(b"{") > _READABLE_DEPTH
        return
    try:
        assert_contract(line)
    except RecursionError:
        # The independent reader gives up earlier than ours; that ours did not fail is known.
        assert line.count(b"[") + line.count(b"{") > _READABLE_DEPTH


def check_file(data: bytes) -> None:
    """Every item of the file is counted and read, and counting alone finds as many."""
    for first in (True, False):
        found = list(split_lines(data, first=first))
        assert count_lines(data, first=first) == len(found)
        assert scan_lines(data, first=first, samples=8, count_tokens=lambda texts: [1] * len(texts)).items == len(found)
        for line in found:
            check_line(line)


def fuzz(check: Callable[[bytes], None], made: SearchStrategy[bytes], round_seed: int) -> int:
    """Check up to ``_EXAMPLES_A_ROUND`` examples, always the same for a seed; returns how many there were."""
    checked = 0

    @seed(round_seed)
    @settings(
        max_examples=_EXAMPLES_A_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(made)
    def examine(data: bytes) -> None:
        nonlocal checked
        checked += 1
        check(data)

    examine()
    return checked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None, help="Only repeat the round of this seed.")
    arguments = parser.parse_args()
    checked = 0
    deadline = time.monotonic() + 60 * arguments.minutes
    while time.monotonic() < deadline:
        round_seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
        try:
            checked += fuzz(check_line, lines(), round_seed) + fuzz(check_file, files(), round_seed)
        except BaseException:
            print(f"The round of seed {round_seed} failed, after {checked:,} lines and files.", file=sys.stderr)
            raise
        if arguments.seed is not None:
            break
    print(f"{checked:,} lines and files, no failure")


if __name__ == "__main__":
    main()
