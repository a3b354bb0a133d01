"""The calls of saved classifiers."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query

from serve_app.classifier_schemas import Classifier, ClassifierDeleted, ClassifierSummary, SaveClassifier
from serve_app.dependencies import Account, IdempotencyHeader, Services, Serving, error_responses, hashed
from serve_app.exceptions import ClassifierNotFound, RequestInvalid
from serve_app.saved_classifier import ClassifierReference, SavedClassifier

classifiers = APIRouter(prefix="/v1", tags=["classifiers"])

Name = Annotated[str, Path(examples=["reviews"], description="`name`, or `name@v2` for one version.")]
Version = Annotated[int | None, Query(ge=1, le=999_999_999, description="One version instead of the newest.")]


@classifiers.post("/classifiers", status_code=201, summary="Save a classifier", responses=error_responses(409))
async def save_classifier(
    body: SaveClassifier, account: Account, services: Serving, idempotency_key: IdempotencyHeader = None
) -> Classifier:
    """Version 1 of a new name, the next version of one that is there. Versions never change.

    A version number is not given out again after its deletion: jobs tell their classifier by it. With an
    `Idempotency-Key`, a repeated call gives the version that the first one made.
    """
    key_hash = None if idempotency_key is None else hashed(idempotency_key)
    return Classifier.of(await services.registry.save_classifier(account, body.name, body.task(), key_hash))


@classifiers.get("/classifiers", summary="The account's classifiers", responses=error_responses())
async def list_classifiers(account: Account, services: Serving) -> list[ClassifierSummary]:
    """By name."""
    index = await asyncio.to_thread(services.classifiers.index, account)
    return [ClassifierSummary.of(name, dict(versions)) for name, versions in sorted(index.live.items())]


@classifiers.get("/classifiers/{name}", summary="A classifier", responses=error_responses(404))
async def retrieve_classifier(name: Name, account: Account, services: Serving, version: Version = None) -> Classifier:
    """Its newest version, or the one that is asked for."""
    reference = _reference(name, version)
    return Classifier.of(await asyncio.to_thread(services.classifiers.load, account, reference))


@classifiers.delete("/classifiers/{name}", summary="Delete a classifier", responses=error_responses(404))
async def delete_classifier(
    name: Name, account: Account, services: Serving, version: Version = None
) -> ClassifierDeleted:
    """All its versions, or only the one that is named. Jobs that were created with it keep what they took from it."""
    reference = _reference(name, version)
    await services.registry.delete_classifier(account, reference)
    return ClassifierDeleted(name=reference.name, version=reference.version)


async def named_classifier(services: Services, account: str, reference: str | None) -> SavedClassifier | None:
    """The version that a request's ``classifier`` means now. Raises RequestInvalid when there is none."""
    if reference is None:
        return None
    try:
        return await asyncio.to_thread(services.classifiers.load, account, ClassifierReference.parse(reference))
    except ClassifierNotFound as error:
        raise RequestInvalid(f"classifier: {error.message}", field="classifier") from error


def _reference(name: str, version: int | None) -> ClassifierReference:
    """Raises ClassifierNotFound for what cannot be a name, RequestInvalid for two versions at once."""
    try:
        reference = ClassifierReference.parse(name)
    except ValueError as error:
        raise ClassifierNotFound(str(error)) from error
    if version is None or version == reference.version:
        return reference
    if reference.version is not None:
        raise RequestInvalid(f"version: {name[:80]} names version {reference.version} already", field="version")
    return ClassifierReference(reference.name, version)
