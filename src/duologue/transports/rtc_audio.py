"""Opus at the rate of the protocol: PCM16, 24 kHz, mono in and out, 20 ms a packet.

The encoder takes 24 kHz as it is, so nothing is resampled on the way out. The decoder always gives 48 kHz, which a
half-band filter brings down. Both run where they are called: 50 and 30 µs a packet are less than handing them to a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy
from av import AudioFrame, CodecContext, Packet
from av.error import FFmpegError

RATE_HZ = 24_000
FRAME_SAMPLES = 480
FRAME_BYTES = 2 * FRAME_SAMPLES
RTP_HZ = 48_000
RTP_FRAME = 960
"""Opus counts its RTP time at 48 kHz, whatever the rate of the sound (RFC 7587, 4.1)."""
SILENCE = bytes.fromhex("f8fffe")
"""20 ms of nothing, as every Opus decoder understands it."""
BITS_PER_SECOND = 32_000
_OPTIONS = {"application": "lowdelay", "compression_level": "3"}
"""Complexity 3 without the speech model: a third of the work of the defaults, not audible at this bit rate."""
_CONCEALED = 3
"""Lost packets in a row that are covered by fading what came before; longer gaps are silent."""


class OpusEncoder:
    """Encodes one stream."""

    def __init__(self) -> None:
        self._codec: Any = CodecContext.create("libopus", "w")
        self._codec.bit_rate = BITS_PER_SECOND
        self._codec.format = "s16"
        self._codec.layout = "mono"
        self._codec.sample_rate = RATE_HZ
        self._codec.time_base = Fraction(1, RATE_HZ)
        self._codec.options = _OPTIONS
        self._pts = 0

    def encode(self, audio: bytes) -> bytes:
        """One packet for `FRAME_BYTES` of sound; shorter sound is filled up with silence."""
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
        frame.planes[0].update(audio.ljust(FRAME_BYTES, b"\0"))
        frame.sample_rate = RATE_HZ
        frame.pts = self._pts
        self._pts += FRAME_SAMPLES
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))


class OpusDecoder:
    """Decodes one stream, and covers for packets that were lost."""

    def __init__(self) -> None:
        self._codec: Any = CodecContext.create("libopus", "r")
        self._codec.format = "s16"
        self._codec.layout = "mono"
        self._codec.sample_rate = RTP_HZ
        self._half = HalfBand()
        self._last = numpy.zeros(FRAME_SAMPLES, dtype="<i2")
        self._missed = 0

    def decode(self, payload: bytes) -> bytes:
        """The sound of one packet; as if it were lost where it is broken."""
        try:
            frames = self._codec.decode(Packet(payload)) if payload else []
        except FFmpegError:
            frames = []
        if not frames:
            return self.conceal()
        self._missed = 0
        sounds = [numpy.frombuffer(frame.planes[0], dtype="<i2", count=frame.samples) for frame in frames]
        self._last = self._half.feed(sounds[0] if len(sounds) == 1 else numpy.concatenate(sounds))
        return bytes(self._last.tobytes())

    def conceal(self) -> bytes:
        """The sound of a packet that did not come: the last one again, softer each time."""
        self._missed += 1
        if self._missed > _CONCEALED:
            return bytes(FRAME_BYTES)
        fade = numpy.linspace(1.0, 0.5, len(self._last)) * 0.5 ** (self._missed - 1)
        return (self._last * fade).astype("<i2").tobytes()


class HalfBand:
    """From 48 to 24 kHz: a half-band filter of 31 taps, of which half are zero and one is a shift."""

    def __init__(self) -> None:
        self._taps = _half_band_taps()
        self._past = numpy.zeros(2 * len(self._taps) - 2, dtype=numpy.float32)

    def feed(self, samples: Sequence[int] | Any) -> Any:
        """Half as many samples (int16, shape (n/2,)) for an even number of them (shape (n,))."""
        whole = numpy.concatenate((self._past, samples), dtype=numpy.float32)
        self._past = whole[len(samples) :]
        side = numpy.convolve(whole[0::2], self._taps, "valid")
        middle = whole[len(self._taps) - 1 : len(self._taps) - 1 + 2 * len(side) : 2]
        return numpy.rint(side + 0.5 * middle).clip(-32_768, 32_767).astype("<i2")


def _half_band_taps(count: int = 16) -> Any:
    """Every second tap of a windowed sinc at a quarter of the rate: those that are neither zero nor the middle."""
    at = numpy.arange(-count + 1, count, 2)
    taps = numpy.sinc(at / 2) * numpy.hamming(2 * count + 1)[1::2]
    return (taps * 0.5 / taps.sum()).astype(numpy.float32)
