"""A TCP proxy between a client and a server that fails as networks and busy servers do."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

_CHUNK = 16 * 1024
_BUSY = {
    503: b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
    500: b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>",
}


@dataclass(frozen=True, slots=True)
class Cut:
    """Reset the connection when so many bytes of answers went through; 0 loses the answer to a request carried out."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class CutRequest:
    """Reset the connection when so many bytes of requests went through."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Answer 503 SlowDown or 500 InternalError as S3 does, without asking the server."""

    status: Literal[500, 503] = 503


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold every answer back for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """Reset the connection at once."""


Fault = Cut | CutRequest | Busy | Delay | Refuse


class FaultyProxy:
    """Forwards 127.0.0.1 connections to an HTTP endpoint. Use as a context manager.

    A fault belongs to a connection: those told by ``fail_next`` to the next ones, that of ``fail_always`` to all until
    ``heal``. Telling one closes the open connections, so that a kept-alive one cannot pass it by.
    """

    def __init__(self, target_endpoint: str) -> None:
        target = urlsplit(target_endpoint)
        assert target.hostname
        assert target.port
        self._target = (target.hostname, target.port)
        self._port = 0
        self._listener: socket.socket | None = None
        self._next: deque[Fault] = deque()
        self._always: Fault | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.connections = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def unused_faults(self) -> int:
        """How many faults told by ``fail_next`` no connection has met yet."""
        return len(self._next)

    def fail_next(self, *faults: Fault) -> None:
        with self._lock:
            self._next.extend(faults)
        self.close_connections()

    def fail_always(self, fault: Fault) -> None:
        self._always = fault
        self.close_connections()

    def heal(self) -> None:
        with self._lock:
            self._next.clear()
            self._always = None

    def go_down(self) -> None:
        """Stop listening, so that the system refuses connections, and drop the open ones."""
        if self._listener:
            # Closing alone would leave the accepting thread, and so the port, in place.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.close_connections()

    def come_up(self) -> None:
        """Listen, on the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen(64)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def __enter__(self) -> FaultyProxy:
        self.come_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_down()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                fault = self._next.popleft() if self._next else self._always
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client, fault), daemon=True).start()

    def _serve(self, client: socket.socket, fault: Fault | None) -> None:
        try:
            if isinstance(fault, Refuse):
                _reset(client)
            elif isinstance(fault, Busy):
                _answer_busy(client, fault.status)
            else:
                self._forward(client, fault)
        except OSError:
            # Either side hung up: then so does the other.
            pass
        finally:
            self._forget(client)

    def _forward(self, client: socket.socket, fault: Fault | None) -> None:
        server = socket.create_connection(self._target, timeout=10)
        server.settimeout(None)
        with self._lock:
            self._open.add(server)
        request_limit = fault.after_bytes if isinstance(fault, CutRequest) else None
        answer_limit = fault.after_bytes if isinstance(fault, Cut) else None
        delay = fault.seconds if isinstance(fault, Delay) else 0.0
        upward = threading.Thread(target=_pump, args=(client, server, request_limit, 0.0), daemon=True)
        upward.start()
        try:
            _pump(server, client, answer_limit, delay)
        finally:
            self._forget(server)
            self._forget(client)
            upward.join()

    def close_connections(self) -> None:
        """Drop what is open; the next connections meet what is told by then."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _pump(source: socket.socket, sink: socket.socket, limit: int | None, delay: float) -> None:
    """Copy until the source ends; with a limit, reset both sides once that many bytes went through."""
    passed = 0
    try:
        while chunk := source.recv(_CHUNK):
            if delay:
                time.sleep(delay)
            if limit is not None and passed + len(chunk) >= limit:
                sink.sendall(chunk[: limit - passed])
                # What was sent must arrive before the reset overtakes it.
                time.sleep(0.02)
                _reset(source)
                _reset(sink)
                return
            sink.sendall(chunk)
            passed += len(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


def _answer_busy(client: socket.socket, status: int) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        chunk = client.recv(_CHUNK)
        if not chunk:
            return
        request += chunk
    head, _, body = request.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    # One that asks whether to send its body waits for our answer; any other sends it first.
    if b"expect" not in headers:
        missing = int(headers.get(b"content-length", b"0")) - len(body)
        while missing > 0 and (chunk := client.recv(_CHUNK)):
            missing -= len(chunk)
    said = _BUSY[status]
    client.sendall(
        b"HTTP/1.1 %d Error\r\nContent-Type: application/xml\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n" % (status, len(said)) + (b"" if head.startswith(b"HEAD ") else said)
    )


def _reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()
