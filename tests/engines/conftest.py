from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav

CLIPS = Path(__file__).parent.parent / "clips"


class HttpRequest:
    """What arrived: first line, headers in lower case, body."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.line = line
        self.headers = headers
        self.body = body


class Wire:
    """The way back: raw bytes, as odd as the test wants them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: str = "200 OK", content_type: str = "text/event-stream") -> None:
        await self.send(f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n".encode())

    async def answer(self, body: bytes, status: str = "200 OK", content_type: str = "application/json") -> None:
        await self.head(status, content_type)
        await self.send(body)

    async def closed_by_client(self) -> bool:
        return await self._reader.read(1) == b""


Handler = Callable[[HttpRequest, Wire], Awaitable[None]]


@asynccontextmanager
async def _http_server(handler: Handler) -> AsyncIterator[str]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            await handler(HttpRequest(lines[0], headers, body), Wire(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


@pytest.fixture
def http_server() -> Callable[[Handler], object]:
    """Opens a real server on loopback that answers each connection through the given handler; gives its base URL."""
    return _http_server


@pytest.fixture
def clip() -> Callable[[str], bytes]:
    """A clip by name as PCM16 mono 24 kHz."""

    def load(name: str) -> bytes:
        wav = parse_wav((CLIPS / f"{name}.wav").read_bytes())
        return resample(wav.data, wav.spec.rate_hz, 24_000)

    return load
