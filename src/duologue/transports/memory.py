"""Two transports that face each other in one process: no socket, the same rules."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from duologue.errors import TransportClosed


class _Pipe:
    """One direction: at most `capacity` frames wait; the sender waits when it is full."""

    def __init__(self, capacity: int) -> None:
        self.frames: deque[bytes] = deque()
        self.capacity = capacity
        self.moved = asyncio.Event()

    async def wait(self) -> None:
        self.moved.clear()
        await self.moved.wait()


class MemoryTransport:
    """One end of a pair. Frames sent before the close are still delivered, as on a socket."""

    def __init__(self, outgoing: _Pipe, incoming: _Pipe) -> None:
        self._out = outgoing
        self._in = incoming
        self._closed: TransportClosed | None = None
        self.peer: MemoryTransport | None = None

    @property
    def closed(self) -> TransportClosed | None:
        return self._closed

    async def send(self, frame: bytes) -> None:
        while self._closed is None and len(self._out.frames) >= self._out.capacity:
            await self._out.wait()
        if self._closed is not None:
            raise self._closed.again()
        self._out.frames.append(bytes(frame))
        self._out.moved.set()

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        while True:
            while self._in.frames:
                frame = self._in.frames.popleft()
                self._in.moved.set()
                yield frame
            if self._closed is not None:
                return
            await self._in.wait()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._end(TransportClosed(code, reason, by="us"))
        if self.peer is not None:
            self.peer._end(TransportClosed(code, reason))

    def _end(self, why: TransportClosed) -> None:
        if self._closed is None:
            self._closed = why
            self._out.moved.set()
            self._in.moved.set()


def memory_pair(capacity: int = 256) -> tuple[MemoryTransport, MemoryTransport]:
    """Two ends of one connection; each direction holds at most `capacity` frames, then `send` waits."""
    there, back = _Pipe(capacity), _Pipe(capacity)
    near, far = MemoryTransport(there, back), MemoryTransport(back, there)
    near.peer, far.peer = far, near
    return near, far
