"""Random jobs for the soak, each of which knows the answers that a sequential reference gives."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from models.protocol import Engine
from models.task import ClassificationTask, Mode, Prediction
from tests.integration.texts import varied_texts

CONFIDENCE_TOLERANCE = 0.001
_LABELS = ("billing", "bug report", "praise", "login problem", "feature request", "question", "complaint")
_DESCRIPTIONS = {"billing": "charges, invoices and refunds", "praise": "the writer is happy with the product"}
_ODD_LINES: tuple[Callable[[str], tuple[bytes, str]], ...] = (
    lambda text: (text.encode(), "invalid_json"),
    lambda text: (json.dumps([text]).encode(), "not_an_object"),
    lambda text: (json.dumps({"body": text}).encode(), "missing_text"),
    lambda text: (json.dumps({"text": len(text)}).encode(), "invalid_text"),
    lambda _text: (b'{"text": "  "}', "empty_text"),
    lambda text: (b'{"text": "\xff' + text.encode() + b'"}', "invalid_encoding"),
)
_LINE_ENDS = (b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b"\n  \n")


@dataclass(frozen=True, slots=True)
class SoakItem:
    """An item's text, or the code of the error that it has to be answered with; its id, if it has one."""

    text: str | None
    error: str | None
    id: str | None


@dataclass(frozen=True, slots=True)
class SoakJob:
    """A job's file and items; ``body`` is what it is created with."""

    data: bytes
    items: Sequence[SoakItem]
    body: dict[str, Any]

    def task(self) -> ClassificationTask:
        mode: Mode = self.body["mode"]
        return ClassificationTask(
            labels=tuple(self.body["labels"]),
            descriptions=self.body["descriptions"],
            mode=mode,
            threshold=self.body["threshold"],
        )


def random_job(source: random.Random) -> SoakJob:
    """Mostly some hundred lines, now and then some thousand; single or multi, with odd lines or without."""
    count = source.choice((1, 40, 300, 300, 800, 800, 2000, 4000))
    count = source.randint(max(count // 2, 1), count)
    odd_share = source.choice((0.0, 0.02, 0.3))
    with_ids = source.random() < 0.5
    items: list[SoakItem] = []
    lines: list[bytes] = []
    for number, text in enumerate(varied_texts(count, seed=source.randrange(2**31))):
        # The first line is an object, without which a file is refused.
        if number and source.random() < odd_share:
            line, error = source.choice(_ODD_LINES)(text)
            items.append(SoakItem(None, error, None))
        else:
            item_id = f"item-{number}" if with_ids else None
            fields = {"id": item_id, "text": text} if with_ids else {"text": text}
            line = json.dumps(fields, ensure_ascii=source.random() < 0.5).encode()
            items.append(SoakItem(text, None, item_id))
        lines.append(line + source.choice(_LINE_ENDS))
    labels = source.sample(_LABELS, source.randint(2, len(_LABELS)))
    body = {
        "labels": labels,
        "descriptions": {label: text for label, text in _DESCRIPTIONS.items() if label in labels},
        "mode": source.choice(("single", "single", "multi")),
        "threshold": 0.3,
    }
    return SoakJob(b"".join(lines), items, body)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result lines that are missing, that are too many, and that do not answer their item as the reference does."""

    rows: int
    losses: int
    duplicates: int
    mismatches: tuple[str, ...]
    tokens: int


def compare(job: SoakJob, results: bytes, engine: Engine) -> Verdict:
    """Hold every result line against the answer of a classifier that runs here and is handed all texts in order."""
    lines = results.splitlines()
    classifier = engine.bind(job.task())
    predictions = iter(classifier.classify([item.text for item in job.items if item.text is not None]))
    mismatches: list[str] = []
    tokens = 0
    for number, (item, line) in enumerate(zip(job.items, lines, strict=False)):
        prediction = next(predictions) if item.text is not None else None
        tokens += prediction.tokens if prediction else 0
        difference = _difference(item, prediction, json.loads(line), job.body)
        if difference:
            mismatches.append(f"line {number}: {difference}: {line.decode()[:200]}")
    ids = [answer["id"] for answer in map(json.loads, lines) if "id" in answer]
    return Verdict(
        rows=len(job.items),
        losses=max(len(job.items) - len(lines), 0),
        duplicates=max(len(lines) - len(job.items), len(ids) - len(set(ids))),
        mismatches=tuple(mismatches),
        tokens=tokens,
    )


def _difference(
    item: SoakItem, prediction: Prediction | None, answer: dict[str, Any], body: dict[str, Any]
) -> str | None:
    if answer.get("id") != item.id or (item.id is not None and next(iter(answer)) != "id"):
        return f"expected id {item.id}"
    if prediction is None:
        return None if answer.get("error", {}).get("code") == item.error else f"expected error {item.error}"
    if "error" in answer or answer["tokens"] != prediction.tokens:
        return f"expected {prediction.tokens} tokens"
    expected = {scored.label: scored.confidence for scored in prediction.labels}
    if body["mode"] == "single":
        given = {answer["label"]: answer["confidence"]}
        sure = expected
    else:
        given = {scored["label"]: scored["confidence"] for scored in answer["labels"]}
        sure = {
            label: confidence
            for label, confidence in expected.items()
            if confidence > body["threshold"] + CONFIDENCE_TOLERANCE
        }
    missing = sorted(set(sure) - set(given))
    surplus = sorted(set(given) - set(expected))
    if missing or (surplus and body["mode"] == "single"):
        return f"expected {expected}"
    if any(given[label] > body["threshold"] + CONFIDENCE_TOLERANCE for label in surplus):
        return f"expected {expected}"
    if any(abs(given[label] - expected[label]) > CONFIDENCE_TOLERANCE for label in set(given) & set(expected)):
        return f"expected {expected}"
    return None
