"""Every notebook runs from top to bottom against the real service, and shows what it promises."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.integration.service import RunningStack

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CELL_SECONDS = 300


@pytest.mark.parametrize(("name", "charts"), [("quickstart", 1), ("choose_labels", 3), ("operations", 1)])
def test_a_notebook_runs_from_top_to_bottom(
    stack: RunningStack, name: str, charts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABELWORKS_BASE_URL", stack.url)
    monkeypatch.setenv("LABELWORKS_API_KEY", stack.new_key(f"notebook-{name}"))
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == charts
    # Warnings of libraries, which readers would have to explain to themselves.
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
