"""Where sound enters and leaves: a microphone and a loudspeaker, a phone call, a WebRTC track, a page.

A port is no protocol peer: it knows sound, not events. Barge-in is therefore the same for all of them: `clear` the port,
ask what was played, truncate.
"""

from __future__ import annotations

from typing import Protocol


class MediaPort(Protocol):
    """One place that records and plays mono PCM16, little-endian, at `rate_hz` samples a second."""

    @property
    def rate_hz(self) -> int:
        """Samples a second, the same in both directions."""

    async def read(self) -> bytes:
        """The next piece of recorded sound, as soon as there is one; empty once the port has ended.

        Cancelling it loses no sound: the next call returns what came meanwhile.
        """

    async def write(self, pcm: bytes) -> None:
        """Queue sound for playing, behind what is queued; waits while the queue is full.

        Cancelling it leaves the piece queued whole or not at all.
        """

    def clear(self) -> None:
        """Fall silent at once: what is queued and not yet played is thrown away."""

    def played_ms(self) -> int:
        """How much of the written sound was played since the port opened, in ms; silence between pieces does not count."""

    async def close(self) -> None:
        """Give the device back; a second call does nothing."""
