"""Performing the effects of operations: with blocking calls, or with asyncio. Nothing else knows the difference."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import aclosing, closing
from functools import partial, wraps
from inspect import signature
from time import monotonic
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, assert_never

import httpx

from labelworks.errors import APIConnectionError, APITimeoutError
from labelworks.operations.effects import (
    Answer,
    Call,
    Effect,
    Emit,
    Now,
    Open,
    Operation,
    Read,
    Request,
    Sleep,
    Steps,
    Stream,
    Work,
)

_BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

P = ParamSpec("P")
T = TypeVar("T")


class SyncDriver:
    """Runs operations in the calling thread. Several threads may share one driver."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def run(self, operation: Operation[T]) -> T:
        """The result of the operation."""
        with closing(Steps(operation)) as steps, closing(_SyncExchange(self._http)) as exchange:
            for effect in steps:
                exchange.settle(effect, steps)
            return steps.result

    def stream(self, operation: Stream[T]) -> Generator[T, None, None]:
        """The items that the operation emits, while it runs."""
        with closing(Steps(operation)) as steps, closing(_SyncExchange(self._http)) as exchange:
            for effect in steps:
                if isinstance(effect, Emit):
                    yield effect.item
                else:
                    exchange.settle(effect, steps)


class AsyncDriver:
    """Runs operations in the running event loop. Several tasks may share one driver."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def run(self, operation: Operation[T]) -> T:
        """The result of the operation."""
        with closing(Steps(operation)) as steps:
            async with aclosing(_AsyncExchange(self._http)) as exchange:
                for effect in steps:
                    await exchange.settle(effect, steps)
                return steps.result

    async def stream(self, operation: Stream[T]) -> AsyncGenerator[T, None]:
        """The items that the operation emits, while it runs."""
        with closing(Steps(operation)) as steps:
            async with aclosing(_AsyncExchange(self._http)) as exchange:
                for effect in steps:
                    if isinstance(effect, Emit):
                        yield effect.item
                    else:
                        await exchange.settle(effect, steps)


class _SyncExchange:
    """What one running operation has open."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def settle(self, effect: Effect | Emit[Any], steps: Steps[Any]) -> None:
        """Perform the effect and tell the operation how that ended."""
        try:
            steps.outcome = self._perform(effect)
        except httpx.TransportError as error:
            steps.failure = _connection_error(error)
        except Exception as error:
            if not isinstance(effect, Work):
                raise
            steps.failure = error

    def _perform(self, effect: Effect | Emit[Any]) -> Any:
        match effect:
            case Call(request):
                return _answer(self._http.send(self._http.build_request(**_arguments(request))))
            case Open(request):
                self.close()
                response = self._http.send(self._http.build_request(**_arguments(request)), stream=True)
                self._response = response
                if not response.is_success:
                    response.read()
                    return _answer(response)
                self._pieces = response.iter_raw()
                return Answer(response.status_code, response.headers)
            case Read():
                return next(self._pieces, b"")
            case Sleep(seconds):
                return time.sleep(seconds)
            case Now():
                return monotonic()
            case Work(function):
                return function()
            case Emit():
                raise TypeError("only a stream can emit")
            case _:
                assert_never(effect)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None


class _AsyncExchange:
    """What one running operation has open."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def settle(self, effect: Effect | Emit[Any], steps: Steps[Any]) -> None:
        """Perform the effect and tell the operation how that ended."""
        try:
            steps.outcome = await self._perform(effect)
        except httpx.TransportError as error:
            steps.failure = _connection_error(error)
        except Exception as error:
            if not isinstance(effect, Work):
                raise
            steps.failure = error

    async def _perform(self, effect: Effect | Emit[Any]) -> Any:
        match effect:
            case Call(request):
                return _answer(await self._http.send(self._http.build_request(**_arguments(request))))
            case Open(request):
                await self.aclose()
                response = await self._http.send(self._http.build_request(**_arguments(request)), stream=True)
                self._response = response
                if not response.is_success:
                    await response.aread()
                    return _answer(response)
                self._pieces = response.aiter_raw()
                return Answer(response.status_code, response.headers)
            case Read():
                return b"" if self._pieces is None else await anext(self._pieces, b"")
            case Sleep(seconds):
                return await asyncio.sleep(seconds)
            case Now():
                return monotonic()
            case Work(function):
                return await asyncio.to_thread(function)
            case Emit():
                raise TypeError("only a stream can emit")
            case _:
                assert_never(effect)

    async def aclose(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None


class _Synchronous(Protocol):
    @property
    def _operations(self) -> Any: ...
    @property
    def _driver(self) -> SyncDriver: ...


class _Asynchronous(Protocol):
    @property
    def _operations(self) -> Any: ...
    @property
    def _driver(self) -> AsyncDriver: ...


def blocking(
    operation: Callable[Concatenate[Any, P], Operation[T]],
) -> Callable[Concatenate[_Synchronous, P], T]:
    """A method that runs an operation and returns its result."""

    @wraps(operation)
    def method(self: _Synchronous, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._driver.run(operation(self._operations, *args, **kwargs))

    return _with_return_annotation(method, operation, "{}")


def blocking_stream(
    operation: Callable[Concatenate[Any, P], Stream[T]],
) -> Callable[Concatenate[_Synchronous, P], Iterator[T]]:
    """A method that returns an iterator over what an operation emits."""

    @wraps(operation)
    def method(self: _Synchronous, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._driver.stream(operation(self._operations, *args, **kwargs))

    return _with_return_annotation(method, operation, "Iterator[{}]")


def awaitable(
    operation: Callable[Concatenate[Any, P], Operation[T]],
) -> Callable[Concatenate[_Asynchronous, P], Coroutine[Any, Any, T]]:
    """A coroutine method that runs an operation and returns its result."""

    @wraps(operation)
    async def method(self: _Asynchronous, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._driver.run(operation(self._operations, *args, **kwargs))

    return _with_return_annotation(method, operation, "{}")


def async_stream(
    operation: Callable[Concatenate[Any, P], Stream[T]],
) -> Callable[Concatenate[_Asynchronous, P], AsyncIterator[T]]:
    """A method that returns an asynchronous iterator over what an operation emits."""

    @wraps(operation)
    def method(self: _Asynchronous, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._driver.stream(operation(self._operations, *args, **kwargs))

    return _with_return_annotation(method, operation, "AsyncIterator[{}]")


MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def _with_return_annotation(method: MethodT, operation: Callable[..., Any], shape: str) -> MethodT:
    """Let help() and notebooks show what callers get rather than what drivers run."""
    shown = signature(operation)
    returned = str(shown.return_annotation).partition("[")[2].removesuffix("]")
    vars(method)["__signature__"] = shown.replace(return_annotation=shape.format(returned))
    return method


def _arguments(request: Request) -> dict[str, Any]:
    headers = dict(request.headers)
    arguments: dict[str, Any] = {"method": request.method, "url": request.url, "headers": headers}
    if request.json is not None:
        headers["Content-Type"] = "application/json"
        arguments["content"] = _json(request.json)
    if request.file is not None:
        arguments["data"] = dict(request.form)
        arguments["files"] = {"file": ("input.ndjson", request.file, "application/x-ndjson")}
    if request.timeout is not None:
        arguments["timeout"] = request.timeout
    return arguments


def _json(value: Any) -> bytes:
    """As short as it can be, since the service limits the bytes."""
    written = partial(json.dumps, value, separators=(",", ":"), allow_nan=False)
    try:
        return written(ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair: legal in an escape, impossible in UTF-8.
        return written().encode()


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)


def _connection_error(error: httpx.TransportError) -> APIConnectionError:
    kind = APITimeoutError if isinstance(error, httpx.TimeoutException) else APIConnectionError
    try:
        place = str(error.request.url.copy_with(query=None))
    except RuntimeError:
        place = "the service"
    sent = not isinstance(error, _BEFORE_SENDING)
    connection_error = kind(f"{place}: {error or type(error).__name__}", sent=sent)
    connection_error.__cause__ = error
    return connection_error
