"""How long the service took to work again, for the report at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Recovery:
    """``seconds`` from the kill until ``until``; ``rework`` texts were classified more than once, of ``texts``."""

    killed: str
    seconds: float
    until: str
    rework: int
    texts: int


@dataclass(slots=True)
class Recoveries:
    """Every recovery of a run, in order."""

    measured: list[Recovery] = field(default_factory=list)

    def add(self, recovery: Recovery) -> None:
        self.measured.append(recovery)

    def table(self) -> list[str]:
        """Lines of a Markdown table."""
        return [
            "| killed | working again after | that is until | texts classified twice |",
            "|---|---|---|---|",
            *(f"| {r.killed} | {r.seconds:.1f} s | {r.until} | {r.rework} of {r.texts} |" for r in self.measured),
        ]
