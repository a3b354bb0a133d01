"""The groups of calls that a client offers, for blocking code and for asyncio."""

from __future__ import annotations

from typing import Any

from labelworks.operations.accounts import KeyOperations, UsageOperations
from labelworks.operations.batches import BatchOperations
from labelworks.operations.classifiers import ClassifierOperations
from labelworks.operations.drivers import (
    AsyncDriver,
    SyncDriver,
    async_stream,
    awaitable,
    blocking,
    blocking_stream,
)
from labelworks.operations.preview import PreviewOperations


class _Calls:
    def __init__(self, operations: Any, driver: SyncDriver) -> None:
        self._operations = operations
        self._driver = driver


class _AsyncCalls:
    def __init__(self, operations: Any, driver: AsyncDriver) -> None:
        self._operations = operations
        self._driver = driver


class Batches(_Calls):
    """The calls of the batch API, one by one."""

    create = blocking(BatchOperations.create)
    upload = blocking(BatchOperations.upload)
    start = blocking(BatchOperations.start)
    retrieve = blocking(BatchOperations.retrieve)
    list = blocking(BatchOperations.list)
    cancel = blocking(BatchOperations.cancel)
    delete = blocking(BatchOperations.delete)
    wait = blocking(BatchOperations.wait)
    results = blocking_stream(BatchOperations.results)
    raw_results = blocking_stream(BatchOperations.raw_results)
    partial_results = blocking_stream(BatchOperations.partial_results)
    raw_partial_results = blocking_stream(BatchOperations.raw_partial_results)
    download = blocking(BatchOperations.download)


class AsyncBatches(_AsyncCalls):
    """The calls of the batch API, one by one, for asyncio."""

    create = awaitable(BatchOperations.create)
    upload = awaitable(BatchOperations.upload)
    start = awaitable(BatchOperations.start)
    retrieve = awaitable(BatchOperations.retrieve)
    list = awaitable(BatchOperations.list)
    cancel = awaitable(BatchOperations.cancel)
    delete = awaitable(BatchOperations.delete)
    wait = awaitable(BatchOperations.wait)
    results = async_stream(BatchOperations.results)
    raw_results = async_stream(BatchOperations.raw_results)
    partial_results = async_stream(BatchOperations.partial_results)
    raw_partial_results = async_stream(BatchOperations.raw_partial_results)
    download = awaitable(BatchOperations.download)


class Classifiers(_Calls):
    """The account's saved classifiers."""

    create = blocking(ClassifierOperations.create)
    list = blocking(ClassifierOperations.list)
    retrieve = blocking(ClassifierOperations.retrieve)
    with_mode = blocking(ClassifierOperations.with_mode)
    delete = blocking(ClassifierOperations.delete)


class AsyncClassifiers(_AsyncCalls):
    """The account's saved classifiers, for asyncio."""

    create = awaitable(ClassifierOperations.create)
    list = awaitable(ClassifierOperations.list)
    retrieve = awaitable(ClassifierOperations.retrieve)
    with_mode = awaitable(ClassifierOperations.with_mode)
    delete = awaitable(ClassifierOperations.delete)


class Preview(_Calls):
    """Answers at once for a few texts, to try out labels before a job."""

    classify = blocking(PreviewOperations.classify)
    tag = blocking(PreviewOperations.tag)
    classify_batch = blocking(PreviewOperations.classify_batch)
    tag_batch = blocking(PreviewOperations.tag_batch)


class AsyncPreview(_AsyncCalls):
    """Answers at once for a few texts, for asyncio."""

    classify = awaitable(PreviewOperations.classify)
    tag = awaitable(PreviewOperations.tag)
    classify_batch = awaitable(PreviewOperations.classify_batch)
    tag_batch = awaitable(PreviewOperations.tag_batch)


class Keys(_Calls):
    """The account's API keys."""

    create = blocking(KeyOperations.create)
    list = blocking(KeyOperations.list)
    revoke = blocking(KeyOperations.revoke)


class AsyncKeys(_AsyncCalls):
    """The account's API keys, for asyncio."""

    create = awaitable(KeyOperations.create)
    list = awaitable(KeyOperations.list)
    revoke = awaitable(KeyOperations.revoke)


class Usage(_Calls):
    """What the account used."""

    retrieve = blocking(UsageOperations.retrieve)


class AsyncUsage(_AsyncCalls):
    """What the account used, for asyncio."""

    retrieve = awaitable(UsageOperations.retrieve)
