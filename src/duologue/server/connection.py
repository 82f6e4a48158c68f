"""One client's connection: its dialect, its bounds, and the queue of what it has not yet read.

Inside, everything is GA. Only here does a frame become an event and an event a frame, so only here is there a dialect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec import UNSET, Struct

from duologue.clock import Clock
from duologue.errors import ProtocolError, TransportClosed
from duologue.ids import random_id
from duologue.protocol.client_events import InputAudioBufferAppend
from duologue.protocol.server_events import ResponseOutputAudioDelta, ServerEvent
from duologue.server.admission import Dialect
from duologue.server.commands import Hangup
from duologue.server.dialects import Beta, Ga
from duologue.server.inputs import ClientErred, ClientSent
from duologue.server.limits import Limits
from duologue.server.tally import Tally
from duologue.server.weighed import WeighedQueue
from duologue.transports.base import BinaryFrame, EventTransport

OUTBOX_FRAMES = 512
VOICE_AHEAD_BYTES = 128 * 1024
"""Two seconds of speech may wait for a client that is behind: more would already be said, and could not be stopped."""
HANGUP_SECONDS = 5.0
"""How long a close may wait for a client that does not read."""


class _Frame(Struct, frozen=True, kw_only=True):
    data: bytes
    voice_of: str | None = None
    """The response whose sound it is."""


class Connection:
    """Reads a client's frames as inputs, writes events as its frames. `temperature` is shown to clients of the beta."""

    def __init__(
        self,
        transport: EventTransport,
        dialect: Dialect,
        limits: Limits,
        tally: Tally,
        clock: Clock,
        temperature: float | None = None,
    ) -> None:
        self._transport = transport
        self._dialect = Beta(random_id("update"), temperature) if dialect == "beta" else Ga()
        self._limits = limits
        self.tally = tally
        self._clock = clock
        self._outbox: WeighedQueue[_Frame | Hangup] = WeighedQueue(
            items=OUTBOX_FRAMES, weight=limits.outbox_bytes, weigh=_size
        )
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._taken = 0
        self._hushed: set[str] = set()
        """Responses whose sound need not be sent any more, as far as it still waits."""

    @property
    def _behind(self) -> bool:
        weight = min(self._limits.outbox_bytes // 2, VOICE_AHEAD_BYTES)
        return self._outbox.qsize() > OUTBOX_FRAMES // 2 or self._outbox.weight > weight

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
        self.tally.received(event, self._clock())
        return ClientSent(event=event)

    async def write(self) -> None:
        """Send what waits. Raises TransportClosed when the connection ends, also where a `Hangup` ended it."""
        while True:
            frame = await self._outbox.get()
            if isinstance(frame, Hangup):
                raise TransportClosed(frame.code, frame.reason, by="server")
            if frame.voice_of not in self._hushed:
                await self._transport.send(frame.data)
            self._taken += 1
            if self._outbox.empty():
                self._hushed.clear()
            if not self._behind:
                self._has_room.set()

    def hush(self, response_id: str) -> None:
        """The response was stopped: what still waits of its sound is not sent. None of it comes after this."""
        if not self._outbox.empty():
            self._hushed.add(response_id)

    async def room(self) -> None:
        """Wait while the client is behind by a few seconds of speech. Raises TransportClosed where the client takes nothing.

        For those who can wait, model and voice: the rest is for what must not, and an interruption gets through.
        """
        while not self._has_room.is_set():
            taken = self._taken
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.slow_reader_s):  # `wait_for` may lose a cancellation (3.11)
                    await self._has_room.wait()
            if not self._has_room.is_set() and self._taken == taken:
                raise _too_slow()

    async def send(self, event: ServerEvent) -> None:
        """Queue one event; waits while the outbox is full. Raises TransportClosed once that takes too long."""
        self.tally.sent(event, self._clock())
        voice_of = event.response_id if isinstance(event, ResponseOutputAudioDelta) else None
        for data in self._dialect.write(event):
            await self._queue(_Frame(data=data, voice_of=voice_of))

    async def hang_up(self, command: Hangup) -> None:
        """Close the connection once everything queued before has left."""
        await self._queue(command)

    async def _queue(self, frame: _Frame | Hangup) -> None:
        try:
            self._outbox.put_nowait(frame)
        except asyncio.QueueFull:
            try:
                async with asyncio.timeout(self._limits.slow_reader_s):
                    await self._outbox.put(frame)
            except TimeoutError:
                raise _too_slow() from None
        if self._behind:
            self._has_room.clear()

    async def close(self, code: int, reason: str) -> None:
        """End the connection now, whatever still waits. A client that reads nothing is not told why."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HANGUP_SECONDS):
                await self._transport.close(code, reason)


def _too_slow() -> TransportClosed:
    return TransportClosed(1008, "the client reads too slowly", by="server")


def _size(frame: _Frame | Hangup) -> int:
    return len(frame.data) if isinstance(frame, _Frame) else 0
