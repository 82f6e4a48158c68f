"""Everyone who looks: which tabs follow the feed, and which one of them has the microphone and the loudspeaker."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

import msgspec
from starlette.websockets import WebSocketDisconnect

from duologue.console.feed import Feed, Filter
from duologue.console.views import Frame
from duologue.ids import IdSource, random_id

FRAMES_PER_SECOND = 30
RELOAD_SECONDS = 1.5
"""A reloading tab comes back under its old name, sometimes before its old socket is known to be closed."""
TAKEN_OVER = 4001
SOUND_QUEUE = 4096
"""Frames of sound that may wait for a page; one that falls behind further is cut off and starts over from its ledger."""


class Socket(Protocol):
    """The part of a WebSocket that is used here."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary frame."""

    async def send_text(self, data: str) -> None:
        """Send a text frame."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection."""


class Viewer:
    """One tab: the revision it has seen and its filter."""

    def __init__(self, name: str, rev: int) -> None:
        self.name = name
        self.rev = rev
        self.filter: Filter | None = None
        self.wake = asyncio.Event()
        self.gone = asyncio.Event()
        self.wake.set()

    def look_for(self, q: str) -> None:
        """Filter by `q` from now on; an empty one shows all."""
        self.filter = Filter(q) if q.strip() else None
        self.wake.set()


class Hub:
    """The tabs that follow the feed; `touch` wakes all of them."""

    def __init__(self, new_id: IdSource = random_id) -> None:
        self._viewers: dict[str, Viewer] = {}
        self._new_id = new_id

    def touch(self) -> None:
        """The feed has changed."""
        for viewer in self._viewers.values():
            viewer.wake.set()

    def present(self, name: str) -> bool:
        """True while the tab follows the feed."""
        return name in self._viewers

    async def join(self, name: str, rev: int) -> Viewer:
        """Let a tab in, under its own name if that is free; a duplicated tab has its original's name and gets a new one."""
        known = self._viewers.get(name)
        if known is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RELOAD_SECONDS):
                    await known.gone.wait()
        if not name or len(name) > 64 or name in self._viewers:
            name = self._new_id("viewer")
        viewer = self._viewers[name] = Viewer(name, rev)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A tab has gone."""
        viewer.gone.set()
        if self._viewers.get(viewer.name) is viewer:
            del self._viewers[viewer.name]

    async def follow(self, viewer: Viewer, feed: Feed, socket: Socket, epoch: str) -> None:
        """Send the tab what it has not seen, 30 times a second at most, until its socket ends."""
        if epoch != feed.epoch:
            viewer.rev = 0
        greeted = False
        while True:
            await viewer.wake.wait()
            viewer.wake.clear()
            frame = feed.since(viewer.rev)
            hits = viewer.filter.advance(feed) if viewer.filter else None
            if frame.rev == viewer.rev and not frame.reset and hits is None and greeted:
                continue
            viewer.rev = frame.rev
            if not greeted or hits is not None:
                frame = msgspec.structs.replace(frame, hits=hits, you=None if greeted else viewer.name)
            greeted = True
            await socket.send_text(encode(frame))
            if frame.rev < feed.rev:
                viewer.wake.set()  # a long log comes in pieces, as fast as the page takes them
                continue
            if hits is not None:
                viewer.wake.set()
            await asyncio.sleep(1 / FRAMES_PER_SECOND)


class Speaker:
    """The way of sound to the page that has the loudspeaker. Without a page, sound is kept in the ledger only."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(SOUND_QUEUE)
        self._too_slow = False

    def send(self, frame: bytes) -> None:
        """Hand a frame over; never waits."""
        try:
            self._queue.put_nowait(frame)
        except asyncio.QueueFull:
            self._too_slow = True

    async def run(self) -> None:
        """Send until the socket ends or the page falls too far behind."""
        while not self._too_slow:
            await self._socket.send_bytes(await self._queue.get())
        await self._socket.close(1013, "too slow")

    async def dismiss(self) -> None:
        """Another tab has taken over."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):  # it was gone already
            await self._socket.close(TAKEN_OVER, "taken over")


def encode(frame: Frame) -> str:
    """A frame of the feed as JSON text."""
    return msgspec.json.encode(frame).decode()
