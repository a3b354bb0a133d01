from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"


@pytest.mark.parametrize("name", ["quickstart", "choose_labels", "operations"])
def test_a_notebook_is_kept_without_outputs(name: str) -> None:
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert [cell["source"] for cell in code if cell["outputs"] or cell["execution_count"]] == []


@pytest.mark.parametrize("name", ["quickstart", "choose_labels", "operations"])
def test_a_notebook_has_one_title_and_its_sections_are_below_it(name: str) -> None:
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]
    title, *others = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    assert title.startswith("# ")
    assert [text for text in others if text.startswith((" ", "# "))] == []
    assert any(text.startswith("## ") for text in others)
