"""A classifier whose process is broken for good gets another; no text is blamed for what is not its fault."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.breaking_engine import BREAKS_ALWAYS, BREAKS_ONCE, BROKEN_FILE
from tests.chaos.conftest import CHAOS_SETTINGS
from tests.integration.service import RunningStack, ndjson, run_to_end
from tests.integration.texts import varied_texts


def test_a_process_that_is_broken_is_ended_and_the_next_answers_every_text_unless_that_breaks_too(
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

        state, _ = run_to_end(client, ndjson([*texts, BREAKS_ALWAYS]))
        assert state["status"] == "failed"
        assert "fails on every text" in state["error"]
