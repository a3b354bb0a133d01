"""The few things that an operation may ask of the driver that runs it.

An operation is a generator: it yields an effect, is sent the outcome, and returns its result. Errors of the
connection are thrown into it as APIConnectionError, and those of its own work as they are. So there is one
implementation of every call, whether it is driven by blocking code or by asyncio, and tests can drive it without a
network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Generic, Self, TypeAlias, TypeVar

from labelworks.errors import UnexpectedAnswerError

T = TypeVar("T")

_SHOWN_BYTES = 100


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request. With ``file`` it is a multipart form of the ``form`` fields, then the file.

    The file is read from its start in small pieces, again at every attempt.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] = field(default_factory=dict)
    file: BinaryIO | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. ``content`` is empty where the body is still to be read (``Open``).

    ``repeated``: an earlier attempt got no answer, or one that says that the service may have carried the request out
    before. ``url`` is what was asked, without its query.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes = b""
    repeated: bool = False
    url: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON. Raises ValueError where it is something else."""
        return json.loads(self.content)

    def read(self, parse: Callable[[Any], T]) -> T:
        """What ``parse`` makes of the body's JSON. Raises UnexpectedAnswerError where it is something else."""
        try:
            return parse(self.json())
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            begins = repr(self.content[:_SHOWN_BYTES].decode("utf-8", "replace"))
            raise UnexpectedAnswerError(
                f"{self.url} gave an answer that is not the service's: {begins}; base_url may name something else",
                status=self.status,
                request_id=self.headers.get("x-request-id"),
                repeated=self.repeated,
            ) from error


@dataclass(frozen=True, slots=True)
class Call:
    """Send a request; the outcome is the Answer with its body."""

    request: Request


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request; the outcome is the Answer, whose body ``Read`` fetches. Closes what was open before."""

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """The outcome is the next piece of the open body, empty at its end."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Now:
    """The outcome is the time in seconds, by a clock that only goes forward."""


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """Run a function that uses the disk for long; the outcome is what it returns. Asyncio runs it in a thread."""

    function: Callable[[], T]


@dataclass(frozen=True, slots=True)
class Emit(Generic[T]):
    """Hand an item to whoever iterates over the operation."""

    item: T


Effect: TypeAlias = Call | Open | Read | Sleep | Now | Work[Any]
Operation: TypeAlias = Generator[Effect, Any, T]
Stream: TypeAlias = Generator[Effect | Emit[T], Any, None]


def call(request: Request) -> Operation[Answer]:
    """``Call``, with the type of its outcome."""
    answer: Answer = yield Call(request)
    return answer


def open_body(request: Request) -> Operation[Answer]:
    """``Open``, with the type of its outcome."""
    answer: Answer = yield Open(request)
    return answer


def read() -> Operation[bytes]:
    """``Read``, with the type of its outcome."""
    piece: bytes = yield Read()
    return piece


def sleep(seconds: float) -> Operation[None]:
    """``Sleep``."""
    yield Sleep(seconds)


def now() -> Operation[float]:
    """``Now``, with the type of its outcome."""
    moment: float = yield Now()
    return moment


def work(function: Callable[[], T]) -> Operation[T]:
    """``Work``, with the type of its outcome."""
    outcome: T = yield Work(function)
    return outcome


class Steps(Generic[T]):
    """Iterating runs an operation from effect to effect; the driver sets ``outcome`` or ``failure`` in between."""

    def __init__(self, operation: Generator[Effect | Emit[Any], Any, T]) -> None:
        self._operation = operation
        self._results: list[T] = []
        self.outcome: Any = None
        self.failure: Exception | None = None

    @property
    def result(self) -> T:
        """What the operation returned, once it has."""
        return self._results[0]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Effect | Emit[Any]:
        outcome, failure, self.outcome, self.failure = self.outcome, self.failure, None, None
        try:
            if failure is not None:
                return self._operation.throw(failure)
            return self._operation.send(outcome)
        except StopIteration as end:
            self._results.append(end.value)
            raise

    def close(self) -> None:
        """End the operation where it is, so that it closes what it holds."""
        self._operation.close()
