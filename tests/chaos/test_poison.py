"""Texts that kill or hang the process that classifies them cost their own answers and nobody else's."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.chaos.conftest import CHAOS_SETTINGS
from tests.chaos.deadly_engine import CRASHES, EXITS, HANGS
from tests.chaos.disturbed_job import DisturbedJob
from tests.chaos.journal import Journal
from tests.chaos.recoveries import Recoveries, Recovery
from tests.integration.service import RunningStack, ndjson
from tests.integration.texts import varied_texts


def test_only_the_texts_that_kill_or_hang_the_classifier_are_answered_with_an_error(
    tmp_path: Path, recoveries: Recoveries
) -> None:
    texts = varied_texts(600, seed=5)
    poison = {123: EXITS, 287: HANGS, 431: CRASHES}
    poisoned = [poison.get(number, text) for number, text in enumerate(texts)]
    settings = CHAOS_SETTINGS | {
        "LABELWORKS_MODELS": '["tests.chaos.deadly_engine"]',
        "LABELWORKS_RANGE_MIN_BYTES": "32768",
        "LABELWORKS_CLASSIFIER_TIMEOUT_SECONDS": "4",
        "CHAOS_SECONDS_PER_TEXT": "0",
    }
    journal = Journal(tmp_path / "journal")
    with RunningStack.start(tmp_path, **settings, **journal.environment()) as stack:
        healthy = DisturbedJob(stack, "healthy", ndjson(texts))
        assert healthy.end()["status"] == "completed"
        expected = healthy.results().splitlines()
        before = journal.texts()

        started_at = time.monotonic()
        job = DisturbedJob(stack, "poisoned", ndjson(poisoned))
        state = job.end()
        seconds = time.monotonic() - started_at
        assert (state["status"], state["requests_completed"], state["requests_failed"]) == ("completed", 597, 3)
        answers = job.results().splitlines()
        job.require_no_actor_left()
    assert len(answers) == len(expected)
    assert {number for number, answer in enumerate(answers) if answer != expected[number]} == set(poison)
    assert [json.loads(answers[number])["error"]["code"] for number in poison] == ["classifier_error"] * 3
    rework = journal.texts() - before - 597
    recoveries.add(Recovery("classifier, by 3 poison texts", seconds, "the job completed", rework, 597))
