"""MediaPort: where a conversation meets sound. A phone, a page, a WebRTC track and a microphone with loudspeaker are ports.

Barge-in is written once for all of them: `clear()` the port, learn what was heard, truncate.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from duologue.audio.pcm16 import Buffer
from duologue.audio.spec import AudioSpec


class Heard(Struct, frozen=True, kw_only=True):
    """How much of a track was heard when the port was cleared; both counts are whole milliseconds, rounded down."""

    track_id: str
    played_ms: int
    received_ms: int

    @property
    def unheard_ms(self) -> int:
        """What was dropped."""
        return self.received_ms - self.played_ms


class MediaPort(Protocol):
    """A microphone and a loudspeaker, wherever they are. One reader; everything belongs to one event loop.

    A track is a stretch of speech with a name of its own, such as the id of an item; tracks are played one after another
    in the order in which they were first written to.
    """

    @property
    def spec(self) -> AudioSpec:
        """What `read` returns and `write` takes: PCM16 mono at 24 kHz, or G.711 mono at 8 kHz on a telephone."""
        ...

    async def read(self) -> bytes:
        """The next chunk of the microphone, 20 ms as a rule; b"" once nothing more will come.

        Safe to cancel: no sound is lost. What nobody reads is kept for some seconds, then the oldest is dropped.
        """
        ...

    def write(self, pcm: Buffer, track_id: str = "default") -> bool:
        """Queue sound of a track; never waits.

        False where it was dropped: the track was cleared before (late sound must not be played), the queue is full, or the
        port is closed. Raises ValueError on part of a sample.
        """
        ...

    def clear(self) -> list[Heard]:
        """Stop playing now and drop what is queued; sound of the same tracks that comes later is dropped too.

        Returns every track that has unheard sound, first the one that was playing; empty where all was heard.
        """
        ...

    def played_ms(self, track_id: str) -> int:
        """Whole milliseconds of the track that were played, also after it ended or was cleared; 0 if it is not known."""
        ...

    async def drained(self) -> None:
        """Wait until everything written was played or dropped. Safe to cancel."""
        ...

    async def close(self) -> None:
        """Let go of the device, call or file; `read` returns b"" from now on. A second call does nothing."""
        ...
