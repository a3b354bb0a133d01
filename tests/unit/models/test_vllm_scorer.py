"""What is asked of vLLM at its start; a stand-in takes its place, for it needs a GPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from models.exceptions import ModelUnavailable
from models.llm.vllm_scorer import WINDOW, VllmScorer, model_window


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({"max_position_embeddings": 2_048}, 2_048),
        ({"max_position_embeddings": 262_144}, WINDOW),
        ({"text_config": {"max_position_embeddings": 4_096}}, 4_096),
        ({}, WINDOW),
    ],
)
def test_no_more_tokens_are_read_at_once_than_the_model_has_positions(
    config: dict[str, Any], window: int, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert model_window(tmp_path) == window


def test_a_model_that_vllm_does_not_start_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(**options: Any) -> SimpleNamespace:
        raise ValueError("No available memory for the cache blocks")

    (tmp_path / "config.json").write_text("{}")
    module = ModuleType("vllm")
    module.__dict__["LLM"] = start
    monkeypatch.setitem(sys.modules, "vllm", module)
    with pytest.raises(ModelUnavailable, match="No available memory"):
        VllmScorer(tmp_path)
