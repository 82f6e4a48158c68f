"""The sound of a call between its port and its session: what comes in is heard, what is played is reported."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from duologue.server import inputs as seen

Post = Callable[[seen.Input, int], Awaitable[None]]
"""Queues an input for the machine, with its size in bytes."""


class CallPort(Protocol):
    """Where a call's sound comes in and goes out: PCM16, 24 kHz, mono. `transports.rtc_port.RtcPort` is one."""

    async def read(self) -> bytes:
        """The caller's next sound; empty once the call has ended."""

    def write(self, pcm: bytes, track_id: str) -> bool:
        """More to play after what waits already; tracks that were cleared play no more."""

    async def room(self) -> None:
        """Wait while too much waits to be played."""

    def clear(self) -> object:
        """Drop what has not been played."""

    async def progress(self, clears: int, samples: int) -> tuple[int, int]:
        """How often the port was cleared and the samples played since, once that differs from what is given."""


class Call(Struct, frozen=True, kw_only=True):
    """A call that a session is to be held over: its id, and its sound."""

    id: str
    port: CallPort


class CallSound:
    """Moves the sound of one session."""

    def __init__(self, port: CallPort) -> None:
        self._port = port
        self._hushes = 0
        self.room = port.room

    def play(self, audio: bytes) -> None:
        """More to play. What was hushed is not asked for again: the machine sees to that, so each hush ends a track."""
        self._port.write(audio, str(self._hushes))

    def hush(self) -> None:
        """Silence, at once."""
        self._port.clear()
        self._hushes += 1

    async def listen(self, post: Post, has_room: Callable[[int], bool]) -> None:
        """Let the session hear the caller. Where `has_room` says no, nobody wanted what came before: it is dropped."""
        while audio := await self._port.read():
            if has_room(len(audio)):
                await post(seen.Heard(audio=audio), len(audio))

    async def watch(self, post: Post) -> None:
        """Tell the session how far its sound has been played."""
        known = (0, 0)
        while (now := await self._port.progress(*known)) != known:
            known = now
            clears, samples = now
            await post(seen.Played(clears=clears, samples=samples), 0)
