"""Realtime events over a WebRTC data channel: the frames of one channel, with bounds that SCTP leaves to its users."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from duologue.errors import ProtocolError, TransportClosed
from duologue.transports.base import BinaryFrame

UNSENT_BYTES = 1024 * 1024
"""Frames that may wait in the channel; a further one waits outside."""
UNREAD_BYTES = 16 * 1024 * 1024
"""Frames that wait for a reader. The channel cannot be told to pause, so a peer that sends more is cut off."""


class Channel:
    """One data channel, from before it opens until after it closes."""

    def __init__(self) -> None:
        self.max_frame_bytes = 65_536
        """What the peer takes as one message; the default of the protocol (RFC 8841, 6) until it says otherwise."""
        self.closed: TransportClosed | None = None
        self.wanted = True
        """False where the peer offered no channel: it wants sound only, and events go nowhere."""
        self._channel: Any = None
        self._unread: deque[str | bytes] = deque()
        self._unread_bytes = 0
        self._moved = asyncio.Event()

    def attach(self, channel: Any) -> None:
        """Use this `RTCDataChannel`, open or not yet."""
        self._channel = channel
        channel.bufferedAmountLowThreshold = UNSENT_BYTES // 2
        for event in ("open", "bufferedamountlow"):
            channel.on(event, self._moved.set)
        channel.on("message", self._receive)
        channel.on("close", lambda: self.end(TransportClosed(1000, "the peer closed its channel")))
        self._moved.set()

    @property
    def attached(self) -> bool:
        """Whether there is a channel, open or not yet."""
        return self._channel is not None

    @property
    def open(self) -> bool:
        """Whether frames can be sent now."""
        return self._channel is not None and self._channel.readyState == "open"

    async def opened(self) -> None:
        """Wait until it is open, or has ended."""
        while not self.open and self.closed is None:
            await self._move()

    async def send(self, frame: bytes) -> None:
        """Hand one frame over; waits for the channel to open, and while the peer reads too slowly.

        Raises TransportClosed, and ProtocolError for a frame larger than the peer takes.
        """
        while self.closed is None and self.wanted and (not self.open or self._channel.bufferedAmount >= UNSENT_BYTES):
            await self._move()
        if self.closed is not None:
            raise self.closed.again()
        if not self.wanted:
            return
        if self.max_frame_bytes and len(frame) > self.max_frame_bytes:
            message = f"An event of {len(frame)} bytes: this data channel carries {self.max_frame_bytes} at a time."
            raise ProtocolError(message, code="message_too_large")
        self._channel.send(frame.decode())

    async def drained(self) -> None:
        """Wait until the peer has taken everything, or is gone."""
        if self.open:
            self._channel.bufferedAmountLowThreshold = 0
        while self.open and self.closed is None and self._channel.bufferedAmount:
            await self._move()

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        while True:
            while self._unread:
                frame = self._unread.popleft()
                self._unread_bytes -= len(frame)
                yield frame
            if self.closed is not None:
                return
            await self._move()

    def end(self, why: TransportClosed) -> None:
        """The connection is over; what was received before can still be read."""
        self.closed = self.closed or why
        self._moved.set()

    def _receive(self, frame: str | bytes) -> None:
        if self._unread_bytes + len(frame) > UNREAD_BYTES:
            self.end(TransportClosed(1009, "events came faster than they were handled", by="us"))
            return
        self._unread.append(BinaryFrame(frame) if isinstance(frame, bytes) else frame)
        self._unread_bytes += len(frame)
        self._moved.set()

    async def _move(self) -> None:
        self._moved.clear()
        await self._moved.wait()
