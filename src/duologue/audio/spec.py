"""What a stretch of sound is made of, and how its bytes count as time. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Encoding = Literal["pcm16", "ulaw", "alaw"]


class AudioSpec(Struct, frozen=True, kw_only=True):
    """Encoding, rate and channels of sound held as bytes.

    `pcm16` is signed 16-bit little-endian, `ulaw` and `alaw` are G.711 with one byte a sample; channels are interleaved.
    """

    encoding: Encoding = "pcm16"
    rate_hz: int = 24_000
    channels: int = 1

    def __post_init__(self) -> None:
        if self.rate_hz <= 0 or self.channels <= 0:
            raise ValueError(f"rate and channels must be positive, not {self.rate_hz} Hz and {self.channels} channels")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.channels * (2 if self.encoding == "pcm16" else 1)

    @property
    def bytes_per_second(self) -> int:
        return self.frame_bytes * self.rate_hz

    def bytes_in(self, duration_ms: int) -> int:
        """Bytes of `duration_ms` of sound, whole frames, rounded down."""
        return duration_ms * self.rate_hz // 1000 * self.frame_bytes

    def ms_in(self, size_bytes: int) -> int:
        """Whole milliseconds in `size_bytes` of sound, rounded down."""
        return self.frames_in(size_bytes) * 1000 // self.rate_hz

    def frames_in(self, size_bytes: int) -> int:
        """Whole frames (samples of every channel) in `size_bytes`."""
        return size_bytes // self.frame_bytes


PCM16_24K = AudioSpec()
PCM16_16K = AudioSpec(rate_hz=16_000)
ULAW_8K = AudioSpec(encoding="ulaw", rate_hz=8_000)
ALAW_8K = AudioSpec(encoding="alaw", rate_hz=8_000)

SAMPLES_PER_MS = PCM16_24K.rate_hz // 1000
BYTES_PER_MS = PCM16_24K.bytes_in(1)
"""Of the protocol's usual sound, PCM16 mono at 24 kHz."""
