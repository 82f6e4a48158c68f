"""Copies every frame that passes a transport to a sink: the way in which sessions are recorded and looked at."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Literal, Protocol

from duologue.clock import Clock
from duologue.errors import TransportClosed
from duologue.transports.base import EventTransport

Direction = Literal["sent", "received"]
"""As seen from this end: a client's `sent` is what the server gets."""

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Takes the frames of one connection, in order. Called in the middle of sending and reading: it must be quick."""

    def record(self, direction: Direction, frame: bytes | str, now_ms: int) -> None:
        """One frame passed at `now_ms`. Whatever it raises is logged once and does not touch the connection."""


class _Tapped:
    """A transport whose frames are shown to a sink before they go on."""

    def __init__(self, transport: EventTransport, sink: Sink, clock: Clock) -> None:
        self._transport = transport
        self._sink = sink
        self._clock = clock
        self._complained = False

    @property
    def closed(self) -> TransportClosed | None:
        return self._transport.closed

    async def send(self, frame: bytes) -> None:
        self._record("sent", frame)
        await self._transport.send(frame)

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        async for frame in self._transport:
            self._record("received", frame)
            yield frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._transport.close(code, reason)

    def _record(self, direction: Direction, frame: bytes | str) -> None:
        try:
            self._sink.record(direction, frame, self._clock())
        except Exception:
            if not self._complained:
                self._complained = True
                _log.exception("a sink failed; the connection goes on, further failures are not logged")


def tap(transport: EventTransport, sink: Sink, clock: Clock) -> EventTransport:
    """The same transport, with every frame copied to `sink` as it is handed over or comes in."""
    return _Tapped(transport, sink, clock)
