"""A WebSocket client without manners: whatever bytes a test wants go out."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

FIN = 0x80
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(head: int, payload: bytes, *, masked: bool = True, length: int | None = None) -> bytes:
    """One frame; `head`: its first byte; `length`: what it says of its length instead of the truth."""
    size = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    if size < 126:
        sized = bytes([bit | size])
    elif size < 65536:
        sized = bytes([bit | 126]) + size.to_bytes(2)
    else:
        sized = bytes([bit | 127]) + size.to_bytes(8)
    if not masked:
        return bytes([head]) + sized + payload
    key = os.urandom(4)
    return bytes([head]) + sized + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def receive(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2))
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8))
        return first & 15, await self.reader.readexactly(size)

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the close frame that comes, whatever comes before; then the connection is over."""
        async with asyncio.timeout(10):
            while (got := await self.receive())[0] != CLOSE:
                pass
            self.writer.write(frame(FIN | CLOSE, got[1]))
            rest = await self.reader.read()
        assert rest == b""
        return int.from_bytes(got[1][:2]), got[1][2:].decode()


@asynccontextmanager
async def raw(host: str, path: str = "/v1/realtime") -> AsyncIterator[Raw]:
    """A connection whose handshake is done, and that saw `session.created`."""
    name, _, port = host.rpartition(":")
    reader, writer = await asyncio.open_connection(name, int(port), limit=4096)
    try:
        key = b64encode(os.urandom(16)).decode()
        asked = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
        writer.write("\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *asked, "", ""]).encode())
        assert b" 101 " in (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]
        line = Raw(reader, writer)
        assert b'"session.created"' in (await line.receive())[1]
        yield line
    finally:
        writer.transport.abort()
