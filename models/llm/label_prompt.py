"""What a language model is asked: one prompt for a task, with a place for the text, and the answers to choose from.

The answers are short ids that are one token each, A, B, C and so on, so that no label is likelier for being short
(Robinson, Rytting and Wingate, Leveraging Large Language Models for Multiple Choice Question Answering, 2023). In
``multi``, and for a single label, each label is a yes-or-no question of its own after the text.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product

from models.task import ClassificationTask

YES_NO = (("Yes", "No"), ("yes", "no"), ("Y", "N"), ("1", "0"))
"""Which words answer a question, best first."""


@dataclass(frozen=True, slots=True)
class LabelPrompt:
    """``head``, the text, then one of ``questions``; what follows is one of ``choices``.

    ``instruction`` tells a model that was taught to converse to say nothing else.
    """

    head: str
    questions: tuple[str, ...]
    choices: tuple[str, ...]
    instruction: str


@dataclass(frozen=True, slots=True)
class Detail:
    """How much of the request goes into a prompt."""

    examples: int
    characters: int


DETAILS = (Detail(8, 600), Detail(4, 400), Detail(2, 200), Detail(1, 120), Detail(0, 120), Detail(0, 40), Detail(0, 0))
"""From all that is useful to labels alone: a prompt has to leave room for the text."""


def choice_ids() -> Iterator[str]:
    """Ids in the order in which labels get them: letters, pairs of letters, numbers."""
    letters = string.ascii_uppercase
    return chain(letters, map("".join, product(letters, repeat=2)), map(str, range(1, 1_000)))


def choice_prompt(task: ClassificationTask, ids: tuple[str, ...], detail: Detail) -> LabelPrompt:
    """The labels under their ids; ``ids`` are as many as the labels."""
    source = task.source_type or "text"
    lines = [f"Which label fits the {source} best?", "", "Labels:"]
    lines += [f"{name}. {_described(task, label, detail)}" for name, label in zip(ids, task.labels, strict=True)]
    lines.append("")
    for label, text in _examples(task, detail):
        lines += [f"{source}: {text}", f"Label: {ids[task.labels.index(label)]}", ""]
    return LabelPrompt("\n".join([*lines, f"{source}: "]), ("\nLabel:",), ids, "Answer with the label's id only.")


def yes_no_prompt(task: ClassificationTask, words: tuple[str, str], detail: Detail) -> LabelPrompt:
    """A question a label, after a text that is read once for all of them."""
    source = task.source_type or "text"
    lines = [f"Which of these labels apply to the {source}? Any number of them may.", "", "Labels:"]
    lines += [f"- {_described(task, label, detail)}" for label in task.labels]
    lines.append("")
    for label, text in _examples(task, detail):
        lines += [f"{source}: {text}", f"Does the label {label!r} apply? {words[0]}", ""]
    questions = tuple(f"\nDoes the label {label!r} apply?" for label in task.labels)
    return LabelPrompt(
        "\n".join([*lines, f"{source}: "]), questions, words, f"Answer with {words[0]} or {words[1]} only."
    )


def _described(task: ClassificationTask, label: str, detail: Detail) -> str:
    description = " ".join(task.description(label).split())[: detail.characters]
    return f"{label}: {description}" if description else label


def _examples(task: ClassificationTask, detail: Detail) -> Iterator[tuple[str, str]]:
    for label, text in task.examples_in_turn(task.labels, detail.examples):
        yield label, " ".join(text.split())[: detail.characters]
