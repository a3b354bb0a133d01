"""Every process of the service dies at once, as in a power cut; it is started again against the same bucket."""

from __future__ import annotations

import time
from pathlib import Path

from tests.chaos.conftest import CHAOS_SETTINGS
from tests.chaos.disturbed_job import GOOD_LINES, DisturbedJob, Undisturbed, seconds_until
from tests.chaos.journal import Journal
from tests.chaos.recoveries import Recoveries, Recovery
from tests.integration.service import RunningStack


def test_every_process_is_killed_and_the_stack_started_again_finishes_the_job(
    tmp_path: Path, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    journal = Journal(tmp_path / "journal")
    settings = CHAOS_SETTINGS | journal.environment()
    with RunningStack.start(tmp_path, **settings) as stack:
        job = DisturbedJob(stack, "power-cut", data)
        kept = job.wait_for_shards(3)
        stack.kill()
    writers = journal.writers()
    started_at = time.monotonic()
    with RunningStack.start(tmp_path, **settings) as job.stack:
        seconds = seconds_until(lambda: journal.writers() - writers, "classifiers work again", started_at)
        job.require_whole(undisturbed, kept)
        rework = job.require_little_rework(journal, 0, GOOD_LINES, deaths=2)
        job.require_no_actor_left()
    recoveries.add(Recovery("the whole stack", seconds, "classifiers work, from its start", rework, GOOD_LINES))
