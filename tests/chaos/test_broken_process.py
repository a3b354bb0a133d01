"""A classifier whose process is broken for good gets another; a text is blamed only where it breaks one that works."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.breaking_engine import BREAKS_ALL, BREAKS_ALWAYS, BREAKS_ONCE, BROKEN_FILE
from tests.chaos.conftest import CHAOS_SETTINGS
from tests.integration.service import RunningStack, ndjson, run_to_end
from tests.integration.texts import varied_texts


def test_a_process_that_is_broken_is_ended_and_the_next_answers_every_text_but_one_that_breaks_each(
    tmp_path: Path,
) -> None:
    settings = CHAOS_SETTINGS | {
        "LABELWORKS_MODELS": '["tests.chaos.breaking_engine"]',
        BROKEN_FILE: str(tmp_path / "broken"),
    }
    texts = varied_texts(10)
    with RunningStack.start(tmp_path, **settings) as stack, stack.client() as client:
        state, _ = run_to_end(client, ndjson([*texts, BREAKS_ONCE]))
        assert (state["status"], state["requests_completed"], state["requests_failed"]) == ("completed", 11, 0)
        assert (tmp_path / "broken").exists()

        state, results = run_to_end(client, ndjson([BREAKS_ALWAYS, *texts]))
        assert (state["status"], state["requests_completed"], state["requests_failed"]) == ("completed", 10, 1)
        assert b"classifier_error" in results.splitlines()[0]

        state, _ = run_to_end(client, ndjson([*texts, BREAKS_ALL]))
        assert state["status"] == "failed"
        assert "fails on every text" in state["error"]
