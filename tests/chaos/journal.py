"""What the classifiers of a stack have done, written where no process's death reaches it: the measure of rework."""

from __future__ import annotations

import os
from pathlib import Path

JOURNAL = "CHAOS_JOURNAL"


class Journal:
    """One file a classifier process in a folder; each line is the number of texts of a batch that it classified."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def of_this_process(cls) -> Journal:
        """The journal that the stack's environment names."""
        return cls(Path(os.environ[JOURNAL]))

    def environment(self) -> dict[str, str]:
        return {JOURNAL: str(self._folder)}

    def add(self, texts: int) -> None:
        """Note a batch of this process; one write, so that a kill leaves whole lines."""
        with (self._folder / str(os.getpid())).open("a") as file:
            file.write(f"{texts}\n")

    def writers(self) -> set[str]:
        """The processes that have classified anything so far."""
        return {path.name for path in self._folder.iterdir()}

    def texts(self) -> int:
        """How many texts were classified so far, counted again each time they were."""
        return sum(int(line) for path in self._folder.iterdir() for line in path.read_text().split())
