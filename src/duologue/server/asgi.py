"""A WebSocket of any ASGI server as an EventTransport."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from duologue.errors import TransportClosed
from duologue.transports.base import BinaryFrame

CLOSE_REASON_BYTES = 123
"""What a close frame has room for."""


class AsgiTransport:
    """One accepted WebSocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._closed: TransportClosed | None = None

    @property
    def closed(self) -> TransportClosed | None:
        """Why the connection ended; None while it is open."""
        return self._closed

    async def send(self, frame: bytes) -> None:
        """Send one event. Raises TransportClosed."""
        if self._closed:
            raise self._closed.again()
        try:
            await self._websocket.send_text(frame.decode())
        except (WebSocketDisconnect, RuntimeError) as gone:
            self._closed = self._closed or TransportClosed(1006, str(gone))
            raise self._closed.again() from None

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        while self._closed is None:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                code, reason = message.get("code") or 1005, message.get("reason") or ""
                self._closed = self._closed or TransportClosed(code, reason)
            elif message.get("text") is not None:
                yield message["text"]
            else:
                yield BinaryFrame(message.get("bytes") or b"")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection; a second call does nothing. Waits where the peer does not read."""
        if self._closed is None:
            self._closed = TransportClosed(code, reason, by="server")
            short = reason.encode()[:CLOSE_REASON_BYTES].decode(errors="ignore")
            with suppress(RuntimeError):  # the peer was faster
                await self._websocket.close(code, short)
