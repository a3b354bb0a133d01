"""A model that kills or hangs every process that loads it fails its jobs, which are told so."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.conftest import CHAOS_SETTINGS
from tests.integration.service import RunningStack, ndjson, run_to_end
from tests.integration.texts import varied_texts


def test_a_job_whose_model_kills_or_hangs_what_loads_it_fails_and_says_so_and_others_go_on(tmp_path: Path) -> None:
    exits, hangs = "tests.chaos.exits_while_loaded", "tests.chaos.hangs_while_loaded"
    settings = CHAOS_SETTINGS | {
        "LABELWORKS_MODELS": f'["static", "{exits}", "{hangs}"]',
        "LABELWORKS_CLASSIFIER_TIMEOUT_SECONDS": "3",
    }
    with RunningStack.start(tmp_path, **settings) as stack, stack.client() as client:
        for model in (exits, hangs):
            state, _ = run_to_end(client, ndjson(varied_texts(300)), model=model)
            assert state["status"] == "failed"
            assert f"The model {model} cannot be used on node" in state["error"]
            assert "its process died 3 times while it loaded" in state["error"]
        state, _ = run_to_end(client, ndjson(varied_texts(300)))
        assert (state["status"], state["requests_completed"]) == ("completed", 300)
