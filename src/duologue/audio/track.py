"""Both sides of a conversation on one clock: stereo, the user on the left, the assistant on the right. Pure.

Each side says when its sound was heard; silence fills what nobody said. Chunks that come a little early or late, as every
thread and network has them, are joined without a gap, so that the recording does not click.
"""

from __future__ import annotations

from duologue.audio.pcm16 import Buffer

JITTER_MS = 80
"""Up to here a chunk belongs right behind the one before it; beyond, the time it names is believed."""
PATIENCE_MS = 1_000
"""A side that is silent for so long holds the other one up no more."""


class StereoTrack:
    """Takes PCM16 mono of two sides with the time of its first sample, gives interleaved PCM16 stereo.

    `start_ms` is the time of the first frame; times are those of one clock. Memory is bounded by `PATIENCE_MS` and the
    largest chunk that runs ahead.
    """

    def __init__(self, start_ms: int, rate_hz: int = 24_000) -> None:
        self.rate_hz = rate_hz
        self._start_ms = start_ms
        self._written = 0
        self._left = bytearray()
        self._right = bytearray()

    @property
    def duration_ms(self) -> int:
        """Of the frames handed out so far."""
        return self._written * 1000 // self.rate_hz

    def user(self, pcm: Buffer, at_ms: int) -> bytes:
        """Sound of the microphone that began at `at_ms`; returns the frames that are now certain."""
        return self._add(self._left, pcm, at_ms)

    def assistant(self, pcm: Buffer, at_ms: int) -> bytes:
        """Sound of the loudspeaker that began at `at_ms`; returns the frames that are now certain."""
        return self._add(self._right, pcm, at_ms)

    def finish(self) -> bytes:
        """The remaining frames; the shorter side is silent at its end."""
        return self._take(max(len(self._left), len(self._right)) // 2)

    def _add(self, side: bytearray, pcm: Buffer, at_ms: int) -> bytes:
        if len(pcm) % 2:
            raise ValueError(f"16-bit PCM has an even number of bytes, not {len(pcm)}")
        due = (at_ms - self._start_ms) * self.rate_hz // 1000 - self._written
        gap = due - len(side) // 2
        if gap > JITTER_MS * self.rate_hz // 1000:
            side.extend(bytes(2 * gap))
        side.extend(pcm)
        both = min(len(self._left), len(self._right)) // 2
        patience = PATIENCE_MS * self.rate_hz // 1000
        return self._take(max(both, max(len(self._left), len(self._right)) // 2 - patience))

    def _take(self, frames: int) -> bytes:
        parts = [bytes(side[: 2 * frames]).ljust(2 * frames, b"\0") for side in (self._left, self._right)]
        del self._left[: 2 * frames], self._right[: 2 * frames]
        self._written += frames
        return interleave(*parts)


def interleave(left: bytes, right: bytes) -> bytes:
    """Two PCM16 channels of one length as stereo."""
    stereo = bytearray(2 * len(left))
    for side, place in ((left, 0), (right, 2)):
        stereo[place::4], stereo[place + 1 :: 4] = side[0::2], side[1::2]
    return bytes(stereo)
