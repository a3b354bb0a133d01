"""A job whose classifiers take every CPU of the only node."""

from __future__ import annotations

from pathlib import Path

from ray._private.utils import get_num_cpus

from tests.integration.service import RunningStack, ndjson, run_to_end
from tests.integration.texts import varied_texts


def test_a_job_whose_classifiers_take_every_cpu_is_still_scanned_and_read_in_tasks(tmp_path: Path) -> None:
    settings = {
        "LABELWORKS_CLASSIFIER_CPUS": str(get_num_cpus()),
        # The second classifier waits for a node that never comes.
        "LABELWORKS_CPU_CLASSIFIER_SLOTS": "2",
        "LABELWORKS_SMALL_JOB_BYTES": "0",
        "LABELWORKS_KEPT_SLOTS_SHARE": "0",
        "LABELWORKS_RANGE_MIN_BYTES": "4096",
        "LABELWORKS_PREFETCH_BYTES": "0",
        "LABELWORKS_DRIVER_SCAN_BYTES": "0",
    }
    with RunningStack.start(tmp_path, **settings) as stack, stack.client() as client:
        state, results = run_to_end(client, ndjson(varied_texts(300)))
    assert (state["status"], state["requests_completed"]) == ("completed", 300), state
    assert len(results.splitlines()) == 300
