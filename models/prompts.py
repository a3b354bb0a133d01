"""What the encoder is told of a label: sentences from its name, its description and the kind of text."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from models.task import ClassificationTask

ANY_SOURCE = "text"

NAME_TEMPLATES = (
    "{name}",
    "This {source} is about {name}.",
    "This {source} expresses {name}.",
    "{source}: {name}",
    "A {name} {source}.",
)
DESCRIPTION_TEMPLATES = (
    "{name}",
    "{description}",
    "{name}: {description}",
    "{source}: {description}",
    "This {source} is about {name}: {description}",
)
_BETWEEN_PHRASES = re.compile(r"[,;:\n]|\b(?:and|or)\b")
_JOINTS = re.compile(r"[_/]+")
_CAMEL_CASE = re.compile(r"[a-z]{2,}(?:[A-Z][a-z]+)+")
_HUMP = re.compile(r"(?=[A-Z])")
_MOST_PHRASES = 16
_INVISIBLE = ("Mn", "Cf", "Cc", "Zs")
"""Unicode categories of what only changes how a sign looks: variation selectors, joiners, space."""


@dataclass(frozen=True, slots=True)
class LabelPrompts:
    """``sentences`` speak of the whole label, ``phrases`` the parts of its description, a thing each."""

    sentences: tuple[str, ...]
    phrases: tuple[str, ...]


def label_prompts(task: ClassificationTask) -> list[LabelPrompts]:
    """One entry a label, in the task's order. Names that are identifiers are read as words."""
    source = task.source_type
    return [_prompts(label, task.description(label), source) for label in task.labels]


def _prompts(name: str, description: str, source_type: str | None) -> LabelPrompts:
    words = {"name": spoken(name), "description": description, "source": source_type or ANY_SOURCE}
    templates = DESCRIPTION_TEMPLATES if description else NAME_TEMPLATES
    return LabelPrompts(tuple(t.format_map(words) for t in templates), _phrases(description))


def spoken(name: str) -> str:
    """The words that an identifier joins: ``card_payment`` and ``cardPayment`` as card payment.

    Names written as people write them stay as they are, iPhone, GitHub and e-mail among them. A name of signs
    alone, which encoders take for unknown words, is read by the signs' Unicode names: thumbs up sign.
    """
    if not any(character.isalnum() for character in name):
        return _named_signs(name) or name
    words = " ".join(_JOINTS.sub(" ", name).split())
    if _CAMEL_CASE.fullmatch(words):
        words = _HUMP.sub(" ", words).lower()
    return words


def _named_signs(name: str) -> str:
    visible = (character for character in name if unicodedata.category(character) not in _INVISIBLE)
    return " ".join(unicodedata.name(character, character).lower() for character in visible)


def _phrases(description: str) -> tuple[str, ...]:
    parts = (part.strip() for part in _BETWEEN_PHRASES.split(description))
    return tuple(part for part in parts if part)[:_MOST_PHRASES]


def absence_prompts(source_type: str | None) -> tuple[str, ...]:
    """What such a text is when nothing is known of it: the contrast for a task with a single label."""
    source = source_type or ANY_SOURCE
    return (source, f"This is a {source}.", f"A {source} about something else.")
