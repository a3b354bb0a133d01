"""The preview calls: labels tried on a few texts, answered at once as a job would answer them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fastapi import APIRouter

from models.task import Prediction
from pipelines.exceptions import LabelworksError
from pipelines.ndjson import ItemError, text_error
from serve_app.classifier_routes import named_classifier
from serve_app.dependencies import Account, Services, Serving, error_responses
from serve_app.exceptions import RequestInvalid
from serve_app.preview_classifier import PreviewAnswer, PreviewRequest
from serve_app.preview_schemas import (
    MAX_TEXTS,
    Classified,
    ClassifiedBatch,
    ClassifiedItem,
    ClassifyText,
    ClassifyTexts,
    Tagged,
    TaggedBatch,
    TaggedItem,
    TagText,
    TagTexts,
)

preview = APIRouter(prefix="/v1", tags=["preview"])


@preview.post("/classify", summary="One label for one text", responses=error_responses())
async def classify(body: ClassifyText, account: Account, services: Serving) -> Classified:
    """Ours. The answer that a job with the same fields would give. The first call in a while takes seconds."""
    began = time.perf_counter()
    prediction, cached = await _answer_one(body, account, services)
    return Classified(**dict(ClassifiedItem.of(prediction, cached)), latency_ms=_milliseconds_since(began))


@preview.post("/tag", summary="Every label that fits one text", responses=error_responses())
async def tag(body: TagText, account: Account, services: Serving) -> Tagged:
    """Ours. As `/v1/classify`, with every label at or over `threshold`."""
    began = time.perf_counter()
    prediction, cached = await _answer_one(body, account, services)
    return Tagged(**dict(TaggedItem.of(prediction, cached)), latency_ms=_milliseconds_since(began))


@preview.post(
    "/classify/batch", summary=f"One label for each of up to {MAX_TEXTS:,} texts", responses=error_responses()
)
async def classify_batch(body: ClassifyTexts, account: Account, services: Serving) -> ClassifiedBatch:
    """Ours. A text that cannot be classified has an `error` with the codes of result lines in its place."""
    began = time.perf_counter()
    answers = await _answer(body, body.texts, account, services)
    return ClassifiedBatch.of(answers, _milliseconds_since(began))


@preview.post(
    "/tag/batch", summary=f"Every label that fits, for up to {MAX_TEXTS:,} texts", responses=error_responses()
)
async def tag_batch(body: TagTexts, account: Account, services: Serving) -> TaggedBatch:
    """Ours. As `/v1/classify/batch`, with every label at or over `threshold`."""
    began = time.perf_counter()
    answers = await _answer(body, body.texts, account, services)
    return TaggedBatch.of(answers, _milliseconds_since(began))


async def _answer(
    body: ClassifyText | ClassifyTexts | TagText | TagTexts, texts: Sequence[str], account: str, services: Services
) -> list[PreviewAnswer]:
    config = body.config(services.settings.models, await named_classifier(services, account, body.classifier))
    answers = await services.preview.answer(PreviewRequest(account, config, tuple(texts), body.may_be_cached))
    predictions = [each.outcome for each in answers if isinstance(each.outcome, Prediction)]
    services.calls.count(
        account,
        items=len(answers),
        items_failed=len(answers) - len(predictions),
        tokens=sum(prediction.tokens for prediction in predictions),
    )
    return answers


async def _answer_one(body: ClassifyText | TagText, account: str, services: Services) -> tuple[Prediction, bool]:
    error = text_error(body.text)
    if error is not None:
        raise RequestInvalid(error.message, field="text", reason=error.code)
    (answer,) = await _answer(body, [body.text], account, services)
    if isinstance(answer.outcome, ItemError):
        raise LabelworksError(answer.outcome.message)
    return answer.outcome, answer.cached


def _milliseconds_since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)
