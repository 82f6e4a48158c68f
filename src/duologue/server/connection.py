"""One client's connection: its dialect, its bounds, and the queue of what it has not yet read.

Inside, everything is GA. Only here does a frame become an event and an event a frame, so only here is there a dialect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec import UNSET

from duologue.clock import Clock
from duologue.errors import ProtocolError, TransportClosed
from duologue.protocol.client_events import InputAudioBufferAppend
from duologue.protocol.server_events import ServerEvent
from duologue.server.admission import Dialect
from duologue.server.commands import Hangup
from duologue.server.dialects import Beta, Ga
from duologue.server.inputs import ClientErred, ClientSent
from duologue.server.limits import Limits
from duologue.server.tally import Tally
from duologue.server.weighed import WeighedQueue
from duologue.transports.base import BinaryFrame, EventTransport

OUTBOX_FRAMES = 512
HANGUP_SECONDS = 5.0
"""How long a close may wait for a client that does not read."""


class Connection:
    """Reads a client's frames as inputs, writes events as its frames."""

    def __init__(self, transport: EventTransport, dialect: Dialect, limits: Limits, tally: Tally, clock: Clock) -> None:
        self._transport = transport
        self._dialect = Beta() if dialect == "beta" else Ga()
        self._limits = limits
        self._tally = tally
        self._clock = clock
        self._outbox: WeighedQueue[bytes | Hangup] = WeighedQueue(
            items=OUTBOX_FRAMES, weight=limits.outbox_bytes, weigh=_size
        )

    @property
    def waiting_bytes(self) -> int:
        """What the client has not taken yet."""
        return self._outbox.weight

    @property
    def closed(self) -> TransportClosed | None:
        """Why the connection ended; None while it is open."""
        return self._transport.closed

    async def read(self, put: Callable[[ClientSent | ClientErred, int], Awaitable[None]]) -> None:
        """Hand over what the client sends, in order and with its size in bytes, until the connection ends."""
        async for frame in self._transport:
            try:
                happened: ClientSent | ClientErred = self._understand(frame)
            except ProtocolError as error:
                happened = ClientErred(error=error)
            await put(happened, len(frame))

    def _understand(self, frame: bytes | str) -> ClientSent:
        if isinstance(frame, BinaryFrame):
            raise ProtocolError("Binary frames are not supported: send JSON text.", code="invalid_event")
        event = self._dialect.read(frame)
        if isinstance(event, InputAudioBufferAppend) and len(event.audio) > self._limits.append_bytes:
            raise ProtocolError(
                f"Invalid 'audio': {len(event.audio)} bytes of audio, but one append may bring at most "
                f"{self._limits.append_bytes}.",
                code="invalid_value",
                param="audio",
                event_id=None if event.event_id is UNSET else event.event_id,
            )
        self._tally.received(event, self._clock())
        return ClientSent(event=event)

    async def write(self) -> None:
        """Send what waits. Raises TransportClosed when the connection ends, also where a `Hangup` ended it."""
        while True:
            frame = await self._outbox.get()
            if isinstance(frame, Hangup):
                raise TransportClosed(frame.code, frame.reason, by="server")
            await self._transport.send(frame)

    async def send(self, event: ServerEvent) -> None:
        """Queue one event; waits while the outbox is full. Raises TransportClosed once that takes too long."""
        self._tally.sent(event, self._clock())
        for frame in self._dialect.write(event):
            await self._queue(frame)

    async def hang_up(self, command: Hangup) -> None:
        """Close the connection once everything queued before has left."""
        await self._queue(command)

    async def _queue(self, frame: bytes | Hangup) -> None:
        try:
            self._outbox.put_nowait(frame)
        except asyncio.QueueFull:
            try:
                await asyncio.wait_for(self._outbox.put(frame), self._limits.slow_reader_s)
            except TimeoutError:
                raise TransportClosed(1008, "the client reads too slowly", by="server") from None

    async def close(self, code: int, reason: str) -> None:
        """End the connection now, whatever still waits. A client that reads nothing is not told why."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._transport.close(code, reason), HANGUP_SECONDS)


def _size(frame: bytes | Hangup) -> int:
    return len(frame) if isinstance(frame, bytes) else 0
