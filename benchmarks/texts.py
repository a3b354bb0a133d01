"""Texts to measure speed on, made from nothing: their words are those of support mail, reviews and news."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

OPENINGS = (
    "I ordered the {thing} {time} and",
    "Hello, my {thing} stopped working {time};",
    "According to the {person}, the {thing} was",
    "Honestly the best {thing} I've had in years,",
    "Can someone explain why the {thing} is",
    "The {person} said {time} that the {thing} would be",
    "After {number} days of waiting for the {thing}, I was told it is",
    "Shares of the company fell {number}% {time} as the {thing} was",
)
MIDDLES = (
    "still not delivered",
    "charged to my card twice",
    "cancelled without any explanation",
    "much better than the previous version",
    "announced at a conference in Singapore",
    "impossible to install on Windows 11 (error 0x80070{number})",
    "blocked by the regulator until further notice",
    "cheaper elsewhere, around ${number}.99",
    "praised by critics and audiences alike",
)
ENDINGS = (
    "please help me resolve this asap!",
    "and nobody answers at support@example.com.",
    "which surprised analysts who had expected the opposite.",
    "so I would like a refund, order #{number}48-{number}.",
    "5/5 would recommend :)",
    "the {person} declined to comment.",
    "even though the {person} promised otherwise in March.",
)
FILLS = {
    "thing": (
        "blender", "broadband router", "championship final", "mobile banking app", "electric scooter", "vaccine trial",
        "noise-cancelling headset", "merger agreement", "pasta carbonara", "space telescope", "season ticket",
    ),
    "person": ("delivery driver", "finance minister", "head coach", "store manager", "spokeswoman", "lead researcher"),
    "time": ("last week", "on Monday", "two months ago", "yesterday evening", "during the holidays"),
}  # fmt: skip


def generated(kind: str, texts: int) -> list[str]:
    """The same texts for the same arguments. ``short``: a sentence; ``mixed``: most short, some of 500 words;
    ``long``: 300 to 1,500 words."""
    source = random.Random(f"{kind} {texts}")
    return [_text(source, _words(source, kind)) for _ in range(texts)]


def from_folder(folder: Path, texts: int) -> list[str]:
    """One text a line of the folder's .txt files, in the order of their names."""
    lines: list[str] = []
    for path in sorted(folder.glob("*.txt")):
        lines += [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    if not lines:
        raise SystemExit(f"No line of text in any .txt file of {folder}.")
    return lines[:texts]


def _words(source: random.Random, kind: str) -> int:
    match kind:
        case "short":
            return source.randint(5, 20)
        case "mixed":
            return min(500, int(source.lognormvariate(3.6, 1.0)))
        case "long":
            return source.randint(300, 1_500)
    raise ValueError(f"There are no {kind!r} texts.")


def _text(source: random.Random, words: int) -> str:
    kept: list[str] = []
    for sentence in _sentences(source):
        kept += sentence.split()
        if len(kept) >= words:
            return " ".join(kept[: max(words, 3)])
    raise AssertionError("sentences never end")


def _sentences(source: random.Random) -> Iterator[str]:
    while True:
        frame = " ".join(source.choice(part) for part in (OPENINGS, MIDDLES, ENDINGS))
        fills = {name: source.choice(choices) for name, choices in FILLS.items()}
        yield frame.format(number=source.randint(2, 98), **fills)
