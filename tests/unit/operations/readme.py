"""README.md, read as an operator does who types what it says."""

from __future__ import annotations

import re

from tests.unit.operations.cluster_files import ROOT

README = (ROOT / "README.md").read_text()


def shell_blocks(heading: str = "") -> list[str]:
    """What is to be typed, block by block, of the section with this heading, or of all."""
    text = README
    if heading:
        text = re.split(r"^##+ ", README.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
