"""Texts for jobs: varied enough to be real work, made in the test so that their number is free."""

from __future__ import annotations

import random

_SUBJECTS = ["The app", "My invoice", "This update", "Your support team", "The new dashboard", "Login", "The export"]
_EVENTS = [
    "crashes whenever I open a large file",
    "was charged twice this month and nobody answers",
    "made everything so much faster, thank you",
    "still does not work on my older phone",
    "is exactly what our small shop needed",
    "forgot my password again after the weekend",
]
_DETAILS = [
    "",
    " I tried it three times.",
    " Ça marche très bien.",
    " Please help! 😀",
    " It has been like this since May.",
]


def varied_texts(count: int, seed: int = 0) -> list[str]:
    """``count`` different texts of 5 to about 60 words."""
    source = random.Random(seed)
    return [
        f"{number}: "
        + " ".join(
            f"{source.choice(_SUBJECTS)} {source.choice(_EVENTS)}.{source.choice(_DETAILS)}"
            for _ in range(source.choice((1, 1, 1, 2, 4)))
        )
        for number in range(count)
    ]
