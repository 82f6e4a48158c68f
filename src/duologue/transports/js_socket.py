"""A JavaScript WebSocket as a transport, seen through Pyodide's bridge: the part that a page and a Worker have in common."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from duologue.errors import TransportClosed
from duologue.transports.base import BinaryFrame
from duologue.transports.runtime import foreign

UNSENT_BYTES = 1024 * 1024
"""Frames that may wait in a browser's socket; a further one waits outside. A Worker's socket does not say what waits."""
UNREAD_BYTES = 16 * 1024 * 1024
"""Frames that wait for a reader. The socket cannot be told to pause, so a peer that sends more is cut off."""
_CLOSE_S = 2.0
_LOOK_S = 0.01
_SILENT = (1005, 1006, 1015)


class JsSocket:
    """A WebSocket of JavaScript as an EventTransport, from before it opens until after it closes.

    A script may close with 1000 and 3000 to 4999 only; another code of ours goes out as 4000 plus its last digits.
    """

    def __init__(self, socket: Any) -> None:
        self.opened = asyncio.Event()
        """The socket is open, or has ended."""
        self._socket = socket
        self._closed: TransportClosed | None = None
        self._unread: deque[str | bytes] = deque()
        self._unread_bytes = 0
        self._moved = asyncio.Event()
        self._gone = asyncio.Event()
        self._listeners: list[tuple[str, Any]] = []
        # Without this a browser brings binary frames as Blobs, whose bytes come later than the next frame.
        socket.binaryType = "arraybuffer"
        self._listen("open", lambda _: self.opened.set())
        self._listen("message", self._receive)
        self._listen("close", self._ended)
        self._listen("error", lambda _: self._end(TransportClosed(1006)))

    @property
    def closed(self) -> TransportClosed | None:
        return self._closed

    async def send(self, frame: bytes) -> None:
        # The socket has no event that tells when it was drained.
        while self._closed is None and self._unsent() >= UNSENT_BYTES:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        if self._closed is not None:
            raise self._closed.again()
        try:
            self._socket.send(frame.decode())
        except UnicodeDecodeError:
            raise
        except Exception as problem:
            self._end(TransportClosed(1006, str(problem)))
            raise TransportClosed(1006, str(problem)) from None

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        while True:
            while self._unread:
                frame = self._unread.popleft()
                self._unread_bytes -= len(frame)
                yield frame
            if self._closed is not None:
                return
            self._moved.clear()
            await self._moved.wait()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed is None:
            self._end(TransportClosed(code, reason, by="us"))
            self._say_goodbye(code, reason)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._gone.wait()
        self._let_go()

    def _unsent(self) -> int:
        return getattr(self._socket, "bufferedAmount", 0) or 0

    def _say_goodbye(self, code: int, reason: str) -> None:
        allowed = code == 1000 or 3000 <= code <= 4999
        with suppress(Exception):
            # A close frame carries at most 123 bytes of reason (RFC 6455, 5.5.1).
            shown = reason.encode()[:123].decode(errors="ignore")
            self._socket.close(code if allowed else 4000 + code % 1000, shown)

    def _receive(self, event: Any) -> None:
        data = event.data
        frame = data if isinstance(data, str) else BinaryFrame(data.to_bytes())
        if self._closed is not None and self._closed.by == "us":
            return
        if self._unread_bytes + len(frame) > UNREAD_BYTES:
            self._end(TransportClosed(1009, "events came faster than they were handled", by="us"))
            self._say_goodbye(1009, "too fast")
            return
        self._unread.append(frame)
        self._unread_bytes += len(frame)
        self._moved.set()

    def _ended(self, event: Any) -> None:
        code = int(event.code or 1006)
        if self._closed is None:
            # In a Worker the closing handshake is ours to complete; in a page this does nothing any more.
            self._say_goodbye(1000 if code in _SILENT else code, "")
        self._end(TransportClosed(code, str(event.reason or "")))
        self._gone.set()
        # Not now: JavaScript is still inside the function that would be taken away.
        asyncio.get_running_loop().call_soon(self._let_go)

    def _end(self, why: TransportClosed) -> None:
        if self._closed is None:
            self._closed = why
        self.opened.set()
        self._moved.set()

    def _listen(self, event: str, handler: Callable[[Any], None]) -> None:
        proxy = foreign().create_proxy(handler)
        self._listeners.append((event, proxy))
        self._socket.addEventListener(event, proxy)

    def _let_go(self) -> None:
        for event, proxy in self._listeners:
            self._socket.removeEventListener(event, proxy)
            proxy.destroy()
        self._listeners.clear()
