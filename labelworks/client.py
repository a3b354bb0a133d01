"""The client: ``Labelworks`` for blocking code, ``AsyncLabelworks`` for asyncio, with the same calls."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

import httpx

from labelworks.classified import Classified, FrameT, is_frame
from labelworks.errors import ConfigurationError
from labelworks.operations.accounts import KeyOperations, UsageOperations
from labelworks.operations.batches import BatchOperations
from labelworks.operations.classification import ClassifyOperations, ShowProgress
from labelworks.operations.classifiers import ClassifierOperations
from labelworks.operations.drivers import AsyncDriver, SyncDriver, awaitable, blocking
from labelworks.operations.preview import PreviewOperations
from labelworks.operations.retries import RetryPolicy
from labelworks.operations.service import Service
from labelworks.resources import (
    AsyncBatches,
    AsyncClassifiers,
    AsyncKeys,
    AsyncPreview,
    AsyncUsage,
    Batches,
    Classifiers,
    Keys,
    Preview,
    Usage,
)
from labelworks.types import Task

ItemT = TypeVar("ItemT")

DEFAULT_TIMEOUT_SECONDS = 60.0
DEFAULT_MAX_RETRIES = 5


class Labelworks:
    """A client of the service.

    ``api_key`` and ``base_url`` default to the environment's LABELWORKS_API_KEY and LABELWORKS_BASE_URL. ``timeout``
    is in seconds, for each wait on the network. Calls that get 429, 503 or no answer are repeated up to
    ``max_retries`` times, with growing pauses; waiting for a job goes on for longer. ``http_client`` brings proxies or
    certificates of your own; it is not closed with this client. Threads may share a client.

        with Labelworks() as client:
            for text, result in client.classify(texts, labels=["billing", "bug", "praise"]):
                print(result.label, result.confidence, text)
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        max_retries: int = DEFAULT_MAX_RETRIES,
        http_client: httpx.Client | None = None,
    ) -> None:
        service = _service(api_key, base_url, timeout, max_retries)
        self._http = http_client or httpx.Client(timeout=timeout)
        self._owns_http = http_client is None
        self._driver = SyncDriver(self._http)
        batches, classifiers = BatchOperations(service), ClassifierOperations(service)
        self._operations = ClassifyOperations(batches, classifiers)
        self.batches = Batches(batches, self._driver)
        self.classifiers = Classifiers(classifiers, self._driver)
        self.preview = Preview(PreviewOperations(service), self._driver)
        self.keys = Keys(KeyOperations(service), self._driver)
        self.usage = Usage(UsageOperations(service), self._driver)

    classify_file = blocking(ClassifyOperations.classify_file)
    _classify_frame = blocking(ClassifyOperations.classify_frame)
    _classify_items = blocking(ClassifyOperations.classify_items)

    @overload
    def classify(
        self,
        data: FrameT,
        *,
        text_field: str = ...,
        prefix: str = ...,
        progress: ShowProgress = ...,
        timeout: float | None = ...,
        **task: Unpack[Task],
    ) -> FrameT: ...
    @overload
    def classify(
        self,
        data: Iterable[ItemT],
        *,
        text_field: str = ...,
        progress: ShowProgress = ...,
        timeout: float | None = ...,
        **task: Unpack[Task],
    ) -> Classified[ItemT]: ...
    def classify(self, data: Any, **options: Any) -> Any:
        """Classify a DataFrame or any iterable of strings or mappings, and join the results to it.

        A DataFrame comes back with the columns ``label``, ``confidence``, ``tokens`` and ``error`` (in ``multi``:
        ``labels``, ``confidences``, …), each with ``prefix`` before it; an iterable as an iterable of
        (item, Result). ``text_field`` names the column or key of the texts. ``progress`` is True, False, or a
        callback; by default a bar is shown in terminals and notebooks. WaitTimeoutError after ``timeout`` seconds.
        The rest is the task: see ``labelworks.types.Task``.
        """
        return (self._classify_frame if is_frame(data) else self._classify_items)(data, **options)

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncLabelworks:
    """The same client for asyncio: every call is awaited, ``batches.results`` is iterated with ``async for``.

    What is passed to ``classify`` is read in another thread. Pass a list of what only its own thread may read, such as
    the rows of a cursor of sqlite3.

    async with AsyncLabelworks() as client:
        frame = await client.classify(frame, labels=["billing", "bug", "praise"])
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        max_retries: int = DEFAULT_MAX_RETRIES,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        service = _service(api_key, base_url, timeout, max_retries)
        self._http = http_client or httpx.AsyncClient(timeout=timeout)
        self._owns_http = http_client is None
        self._driver = AsyncDriver(self._http)
        batches, classifiers = BatchOperations(service), ClassifierOperations(service)
        self._operations = ClassifyOperations(batches, classifiers)
        self.batches = AsyncBatches(batches, self._driver)
        self.classifiers = AsyncClassifiers(classifiers, self._driver)
        self.preview = AsyncPreview(PreviewOperations(service), self._driver)
        self.keys = AsyncKeys(KeyOperations(service), self._driver)
        self.usage = AsyncUsage(UsageOperations(service), self._driver)

    classify_file = awaitable(ClassifyOperations.classify_file)
    _classify_frame = awaitable(ClassifyOperations.classify_frame)
    _classify_items = awaitable(ClassifyOperations.classify_items)

    @overload
    async def classify(
        self,
        data: FrameT,
        *,
        text_field: str = ...,
        prefix: str = ...,
        progress: ShowProgress = ...,
        timeout: float | None = ...,
        **task: Unpack[Task],
    ) -> FrameT: ...
    @overload
    async def classify(
        self,
        data: Iterable[ItemT],
        *,
        text_field: str = ...,
        progress: ShowProgress = ...,
        timeout: float | None = ...,
        **task: Unpack[Task],
    ) -> Classified[ItemT]: ...
    async def classify(self, data: Any, **options: Any) -> Any:
        """As ``Labelworks.classify``. Reading what comes back needs no ``await``: it is on this machine's disk."""
        return await (self._classify_frame if is_frame(data) else self._classify_items)(data, **options)

    async def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _service(api_key: str | None, base_url: str | None, timeout: float, max_retries: int) -> Service:
    key = api_key or os.environ.get("LABELWORKS_API_KEY")
    if not key:
        raise ConfigurationError("No API key: pass api_key=… or set LABELWORKS_API_KEY")
    url = base_url or os.environ.get("LABELWORKS_BASE_URL")
    if not url:
        raise ConfigurationError("No address of the service: pass base_url=… or set LABELWORKS_BASE_URL")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"The service's address must begin with http:// or https://, not {url!r}")
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"The service's address {url!r} is not valid: {error}") from error
    _require_sendable(key)
    if max_retries < 0:
        raise ConfigurationError(f"max_retries must be 0 or more, not {max_retries}")
    return Service(url.rstrip("/"), key, timeout, RetryPolicy(max_retries))


def _require_sendable(key: str) -> None:
    """Raises ConfigurationError for a key that no header can carry, without showing it."""
    wrong = next((place for place, character in enumerate(key, 1) if not "!" <= character <= "~"), None)
    if wrong is not None:
        raise ConfigurationError(
            f"The API key (api_key=…, --api-key or LABELWORKS_API_KEY) is not one: its character {wrong} of {len(key)}"
            " is a space, a line end or no ASCII; copy it again"
        )
