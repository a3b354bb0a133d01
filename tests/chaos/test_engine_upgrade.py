"""The engine is upgraded while a job is under way: no result file holds answers of two versions."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.plan import Plan
from tests.chaos.conftest import CHAOS_SETTINGS
from tests.chaos.disturbed_job import GOOD_LINES, DisturbedJob
from tests.chaos.journal import Journal
from tests.integration.service import RunningStack

# An engine of the operator's own, which marks its answers with its version.
ENGINE = """
from dataclasses import replace

from tests.chaos.journal_engine import load as load_journalled, load_token_counter

CONFIDENCE = {confidence}


class Marked:
    def __init__(self, inner):
        self._inner = inner
        self.info = getattr(inner, "info", None)

    def bind(self, task):
        return Marked(self._inner.bind(task))

    def classify(self, texts, on_batch=None):
        return [
            replace(found, labels=tuple(replace(label, confidence=CONFIDENCE) for label in found.labels))
            for found in self._inner.classify(texts, on_batch)
        ]


def load(threads, weights):
    return Marked(load_journalled(threads, weights))
"""


def test_a_job_that_goes_on_after_an_upgrade_of_its_engine_starts_afresh(tmp_path: Path, data: bytes) -> None:
    modules = tmp_path / "modules" / "own_engines"
    modules.mkdir(parents=True)
    engine = modules / "marked.py"
    engine.write_text(ENGINE.format(confidence=0.25))
    journal = Journal(tmp_path / "journal")
    settings = CHAOS_SETTINGS | journal.environment()
    settings |= {"LABELWORKS_MODELS": '["own_engines.marked"]', "PYTHONPATH": str(modules.parent)}
    with RunningStack.start(tmp_path, **settings) as stack:
        job = DisturbedJob(stack, "upgraded", data)
        job.wait_for_shards(3)
        old_plan = Plan.model_validate_json(job.bucket.get(job.paths.plan))
        stack.kill()
    engine.write_text(ENGINE.format(confidence=0.75))
    with RunningStack.start(tmp_path, **settings) as job.stack:
        state = job.end()
        answers = [json.loads(line) for line in job.results().splitlines()]
        plan = Plan.model_validate_json(job.bucket.get(job.paths.plan))
        job.require_no_actor_left()
    assert (state["status"], state["requests_completed"], state["attempt"]) == ("completed", GOOD_LINES, 1)
    assert {answer["confidence"] for answer in answers if "error" not in answer} == {0.75}
    assert plan.engine != old_plan.engine
