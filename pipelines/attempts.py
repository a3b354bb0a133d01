"""Finding the item that kills its process, from where earlier attempts at its range died. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

# A process can be killed for reasons that are not in its texts: the first deaths make nothing suspect, and one text is
# condemned only when processes died over it alone.
_TRUSTED_DEATHS = 2
_DEATHS_OVER_ONE_TEXT = 2
_GROUPS = 64

Span = tuple[int, int]
"""Texts ``first`` to ``last`` (exclusive) of a range, counted over the texts that can be classified."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How to go about a range now.

    ``careful``: classify group by group and say beforehand which group it is. ``condemned`` texts are answered with
    an error instead; ``hopeless`` ranges altogether. ``suspects`` holds the group that the last attempt died in.
    """

    number: int
    careful: bool = False
    suspects: Span | None = None
    condemned: tuple[Span, ...] = ()
    hopeless: bool = False

    def groups(self, texts: int) -> list[Span]:
        """The spans to classify one after the other: all that is not condemned, the suspects most finely cut."""
        if not self.careful:
            return [(0, texts)] if texts else []
        first, last = self.suspects or (0, 0)
        pieces = [*_cut((0, first), texts), *_cut((first, last), last - first), *_cut((last, texts), texts)]
        return [kept for piece in pieces for kept in _without(piece, self.condemned)]


class RangeAttempts:
    """The attempts at one range, kept outside the process that classifies it, which may die."""

    def __init__(self, max_attempts: int) -> None:
        self._max_attempts = max_attempts
        self._number = 0
        self._deaths = 0
        self._under_way = False
        self._working_on: Span | None = None
        self._suspects: Span | None = None
        self._died_over: Counter[Span] = Counter()
        self._condemned: tuple[Span, ...] = ()

    def begin(self) -> Attempt:
        """Another attempt begins; one before that was not finished has died."""
        self._number += 1
        if self._under_way:
            self._deaths += 1
            self._learn()
        self._under_way = True
        return Attempt(
            number=self._number,
            careful=self._deaths >= _TRUSTED_DEATHS,
            suspects=self._suspects,
            condemned=self._condemned,
            hopeless=self._deaths > self._max_attempts,
        )

    def working_on(self, span: Span) -> None:
        """The current attempt is about to classify these texts."""
        self._working_on = span

    def finished(self) -> None:
        """The current attempt has classified the whole range: whatever fails after this, its texts are not to blame."""
        self._under_way = False
        self._working_on = None

    def _learn(self) -> None:
        died_over, self._working_on = self._working_on, None
        if died_over is None:
            return
        self._died_over[died_over] += 1
        found = died_over[1] - died_over[0] == 1 and self._died_over[died_over] >= _DEATHS_OVER_ONE_TEXT
        if found or self._deaths >= self._max_attempts:
            self._condemned = (*self._condemned, died_over)
            self._suspects = None
        else:
            self._suspects = died_over


def _cut(span: Span, scale: int) -> list[Span]:
    step = max(-(-scale // _GROUPS), 1)
    return [(first, min(first + step, span[1])) for first in range(span[0], span[1], step)]


def _without(span: Span, condemned: tuple[Span, ...]) -> list[Span]:
    left = [span]
    for bad_first, bad_last in condemned:
        left = [
            part
            for first, last in left
            for part in ((first, min(last, bad_first)), (max(first, bad_last), last))
            if part[0] < part[1]
        ]
    return left
