"""A WebSocket of any ASGI server as a line."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from duologue.clock import monotonic_ms
from duologue.relay.lines import NO_STATUS, VANISHED, Ear, Gate, Refusal, Request, hands_on, sendable, short

HIGH_WATER_BYTES = 256 * 1024
CLOSE_SECONDS = 5.0
TOO_BIG = 1009


class AsgiLine:
    """One accepted WebSocket. What is sent waits in a list, as ASGI servers write only when awaited."""

    def __init__(self, websocket: WebSocket) -> None:
        self.ear: Ear | None = None
        self.closing: tuple[int, str] | None = None
        self.may_read = asyncio.Event()
        self.may_read.set()
        self._websocket = websocket
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._full = False
        self._news = asyncio.Event()

    def send(self, frame: bytes) -> None:
        """As in `Line`."""
        if self.closing is not None:
            return
        self._waiting.append(frame)
        self._bytes += len(frame)
        self._news.set()
        if self._bytes > HIGH_WATER_BYTES and not self._full and self.ear is not None:
            self._full = True
            self.ear.full()

    @property
    def gone(self) -> bool:
        """As in `Line`: ASGI tells of nothing but what is received."""
        return False

    def pause(self) -> None:
        """As in `Line`."""
        self.may_read.clear()

    def resume(self) -> None:
        """As in `Line`."""
        self.may_read.set()

    def close(self, code: int, reason: str = "") -> None:
        """As in `Line`."""
        if self.closing is None:
            self.closing = (code, reason)
            self.may_read.set()
            self._news.set()

    async def write(self) -> None:
        """Send what waits until the line is closed from here or the peer is gone."""
        with suppress(WebSocketDisconnect, RuntimeError, OSError):
            while self.closing is None or self._waiting:
                await self._news.wait()
                self._news.clear()
                waiting, self._waiting = self._waiting, []
                for frame in waiting:
                    await self._websocket.send_text(frame.decode())
                    self._bytes -= len(frame)
                if self._full and self.ear is not None:
                    self._full = False
                    self.ear.room()
            code, reason = self.closing
            await self._websocket.close(code if sendable(code) else 1000, short(reason))

    async def read(self, most_bytes: int) -> tuple[int, str]:
        """Hand over what comes in; returns the peer's close code and reason."""
        while True:
            await self.may_read.wait()
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return message.get("code") or NO_STATUS, message.get("reason") or ""
            if self.closing is not None or self.ear is None:
                continue
            text = message.get("text")
            if text is None:
                self.ear.heard_binary()
            elif len(frame := text.encode(errors="replace")) > most_bytes:
                self.close(TOO_BIG, "message too big")
            elif not hands_on(self.ear, frame, monotonic_ms()):
                self.ear.heard(frame)


async def serve(websocket: WebSocket, gate: Gate, most_bytes: int) -> None:
    """Answer a WebSocket as the gate says, and carry it until it ends."""
    scope = websocket.scope
    # an app that is mounted somewhere has its own paths below that
    path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
    query = scope.get("query_string", b"").decode("latin-1")
    peer = websocket.client.host if websocket.client else ""
    headers = {name.lower(): value for name, value in websocket.headers.items()}
    answer = gate(Request(path=path, query=query, headers=headers, peer=peer))
    if isinstance(answer, Refusal):
        response = Response(answer.body, answer.status, dict(answer.headers))
        await websocket.send_denial_response(response)
        return
    await websocket.accept(answer.subprotocol)
    line = AsgiLine(websocket)
    ear = answer.meet(line)
    line.ear = ear
    loop = asyncio.get_running_loop()
    writer = loop.create_task(line.write(), name="relay-asgi-write")
    reader = loop.create_task(line.read(most_bytes), name="relay-asgi-read")
    try:
        await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((reader,), timeout=CLOSE_SECONDS)
    finally:
        for task in (writer, reader):
            task.cancel()
        _, read = await asyncio.gather(writer, reader, return_exceptions=True)
        theirs = read if isinstance(read, tuple) else (VANISHED, "")
        ear.ended(*(line.closing or theirs))
