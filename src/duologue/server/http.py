"""The server's ASGI app: the Realtime WebSocket and the health check."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from duologue.errors import ProtocolError, TransportClosed
from duologue.ids import random_id
from duologue.protocol.codec import encode
from duologue.protocol.server_events import Error, ErrorDetails
from duologue.server.runner import RealtimeServer
from duologue.transports.base import BinaryFrame


class AsgiTransport:
    """A WebSocket of any ASGI server as an EventTransport."""

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
            raise self._closed
        try:
            await self._websocket.send_text(frame.decode())
        except (WebSocketDisconnect, RuntimeError) as gone:
            self._closed = self._closed or TransportClosed(1006, str(gone))
            raise self._closed from None

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        while self._closed is None:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self._closed = self._closed or TransportClosed(message.get("code") or 1005, message.get("reason") or "")
            elif message.get("text") is not None:
                yield message["text"]
            else:
                yield BinaryFrame(message.get("bytes") or b"")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection; a second call does nothing."""
        if self._closed is None:
            self._closed = TransportClosed(code, reason, by="server")
            with suppress(RuntimeError):  # the peer was faster
                await self._websocket.close(code, reason[:120])


def create_app(server: RealtimeServer) -> Starlette:
    """The app around a server; its lifespan starts and closes the engines."""

    async def realtime(websocket: WebSocket) -> None:
        offered = websocket.scope.get("subprotocols") or []
        await websocket.accept("realtime" if "realtime" in offered else None)
        transport = AsgiTransport(websocket)
        model = websocket.query_params.get("model", "")
        if model:
            await server.serve(transport, model=model)
        else:
            await _refuse(transport, ProtocolError("You must provide a model parameter.", code="missing_model"))

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "sessions": server.sessions})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with server.running():
            yield

    return Starlette(routes=[WebSocketRoute("/v1/realtime", realtime), Route("/health", health)], lifespan=lifespan)


async def _refuse(transport: AsgiTransport, error: ProtocolError) -> None:
    """Say why in an event, then close: clients see events, but rarely the body of a refused handshake."""
    details = ErrorDetails(type=error.type, code=error.code, message=error.message, param=error.param)
    await transport.send(encode(Error(event_id=random_id("event"), error=details)))
    await transport.close(4000, f"{error.type}.{error.code}")
