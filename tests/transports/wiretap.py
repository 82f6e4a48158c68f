"""Stands between an application and a Realtime server: keeps what both say, and can say something itself."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


class Wiretap:
    """One connection at a time. `said` is the server's, `asked` the application's."""

    def __init__(self, host: str) -> None:
        self.said: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.connections = 0
        self._host = host
        self._upstream: ClientConnection
        self._moved = asyncio.Condition()

    async def carry(self, near: ServerConnection) -> None:
        """Both directions, until either side ends it."""
        assert near.request is not None
        self.connections += 1
        async with connect(f"ws://{self._host}{near.request.path}", compression=None, max_size=None) as far:
            self._upstream = far
            ways = [
                asyncio.create_task(self._copy(near, far, self.asked), name="tap: up"),
                asyncio.create_task(self._copy(far, near, self.said), name="tap: down"),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
        self.connections -= 1
        await self._tell()

    async def _copy(self, source: Any, sink: Any, kept: list[dict[str, Any]]) -> None:
        with suppress(ConnectionClosed):
            async for frame in source:
                kept.append(json.loads(frame))
                await sink.send(frame)
                await self._tell()

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def send(self, kind: str, **fields: Any) -> None:
        """An event of one's own to the server; both sides get its answer."""
        await self._upstream.send(json.dumps({"type": kind, **fields}))

    async def until(self, what: Callable[[], Any]) -> Any:
        """Wait until that is true, looked at with every event; gives it."""
        async with self._moved:
            await self._moved.wait_for(what)
        return what()

    def came(self, kind: str) -> list[dict[str, Any]]:
        """What the server said of a type."""
        return [event for event in self.said if event["type"] == kind]

    def went(self, kind: str) -> list[dict[str, Any]]:
        """What the application asked of a type."""
        return [event for event in self.asked if event["type"] == kind]

    def sound(self, item_id: str | None = None) -> bytes:
        """The speech that the server sent, of one item or all."""
        deltas = self.came("response.output_audio.delta")
        return b"".join(base64.b64decode(e["delta"]) for e in deltas if item_id in (None, e["item_id"]))


@asynccontextmanager
async def tapped(host: str) -> AsyncIterator[tuple[Wiretap, str]]:
    """The tap, and the address for the application."""
    tap = Wiretap(host)
    async with serve(tap.carry, "127.0.0.1", 0, compression=None, max_size=None) as server:
        yield tap, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
