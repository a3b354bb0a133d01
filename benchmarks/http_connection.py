"""A kept-alive HTTP/1.1 connection that costs its process little, so that a load generator is not what gives first."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """``headers`` by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One request at a time. Raises OSError or asyncio.IncompleteReadError when the server hangs up."""

    def __init__(self, host: str, port: int, api_key: str) -> None:
        self._host = host
        self._port = port
        self._headers = f"Host: {host}:{port}\r\nAuthorization: Bearer {api_key}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        content = b"" if body is None else json.dumps(body).encode()
        lines = f"{method} {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(content)}\r\n"
        if body is not None:
            lines += "Content-Type: application/json\r\n"
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(lines.encode() + b"\r\n" + content)
        answer = await _read(reader)
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ", 2)[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return Answer(status, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return Answer(status, headers, bytes(body))
