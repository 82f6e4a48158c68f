"""The wire's sound formats at the machine's edge: inside, all sound is PCM16 at 24 kHz.

G.711 runs at a third of that rate. Both directions filter with the same short low-pass in whole numbers, so that how
the sound is cut into chunks changes nothing, and n ms in are exactly n ms out (1.3 ms later).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import cos, pi, sin
from typing import Any

from duologue.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from duologue.protocol.session import AudioFormat, PcmFormat, PcmuFormat
from duologue.server.input_buffer import BYTES_PER_MS

PCM = PcmFormat(rate=24_000)
DELTA_MS = 200
"""Longest piece of sound in one event: small enough for every client's message limit, large enough to be few."""
PIECE_BYTES = 48_000
"""How much of a clip is converted at a time."""
TAPS = 63
CUTOFF = 3_500 / 24_000
_ONE = 1 << 15


class Decoder:
    """One stream from the client."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self._rest = b""
        self._upsampler = None if isinstance(audio_format, PcmFormat) else _Upsampler()

    def feed(self, data: bytes) -> bytes:
        """PCM16, 24 kHz, mono; half a sample waits for its other half."""
        if self._upsampler is not None:
            decode = ulaw_decode if isinstance(self.format, PcmuFormat) else alaw_decode
            return self._upsampler.feed(decode(data)) if data else b""
        data = self._rest + data
        whole = len(data) & ~1
        self._rest = data[whole:]
        return data[:whole]

    def reset(self) -> None:
        """Forget the half sample."""
        self._rest = b""


class Encoder:
    """One stream to the client."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self._downsampler = None if isinstance(audio_format, PcmFormat) else _Downsampler()
        self._delta_bytes = DELTA_MS * (BYTES_PER_MS if self._downsampler is None else 8)

    def feed(self, pcm: bytes) -> bytes:
        """The sound (PCM16, 24 kHz, mono) in the stream's format."""
        if self._downsampler is None:
            return pcm
        encode = ulaw_encode if isinstance(self.format, PcmuFormat) else alaw_encode
        return encode(self._downsampler.feed(pcm))

    def deltas(self, pcm: bytes) -> list[bytes]:
        """The same, in pieces for one event each."""
        sound = self.feed(pcm)
        return [sound[start : start + self._delta_bytes] for start in range(0, len(sound), self._delta_bytes)]


def decoded(data: bytes, audio_format: AudioFormat) -> bytes:
    """A whole clip as PCM16, 24 kHz, mono."""
    return _in_pieces(Decoder(audio_format).feed, data)


def encoded(pcm: bytes, audio_format: AudioFormat) -> bytes:
    """A whole clip in a format of the wire."""
    return _in_pieces(Encoder(audio_format).feed, pcm)


def _in_pieces(convert: Callable[[bytes], bytes], clip: bytes) -> bytes:
    """Filters compute with eight bytes a sample: half an hour at once would take a gigabyte and a half."""
    return b"".join(convert(clip[at : at + PIECE_BYTES]) for at in range(0, len(clip), PIECE_BYTES))


class _Upsampler:
    """8 kHz to 24 kHz: three samples for each one."""

    def __init__(self) -> None:
        self._past = bytes(2 * (TAPS // 3 - 1))

    def feed(self, pcm: bytes) -> bytes:
        import numpy

        pcm = self._past + pcm
        self._past = pcm[len(pcm) - len(self._past) :]
        samples = numpy.frombuffer(pcm, dtype="<i2").astype(numpy.float64)  # exact: the sums stay below 2^37
        taps = numpy.array(_lowpass(phases=3), dtype=numpy.float64)
        # Of each three samples at 24 kHz only one is not zero, so that each phase has its own third of the taps.
        phases = [numpy.convolve(samples, taps[phase::3], "valid") for phase in range(3)]
        return _rounded(numpy.stack(phases, axis=1).reshape(-1).astype(numpy.int64))


class _Downsampler:
    """24 kHz to 8 kHz: one sample for each three, the rest waits."""

    def __init__(self) -> None:
        self._past: Any = None

    def feed(self, pcm: bytes) -> bytes:
        import numpy

        if self._past is None:
            self._past = numpy.zeros(TAPS - 1, dtype=numpy.int64)
        samples = numpy.concatenate([self._past, numpy.frombuffer(pcm, dtype="<i2").astype(numpy.int64)])
        whole = (len(samples) - (TAPS - 1)) // 3
        self._past = samples[3 * whole :]
        if not whole:
            return b""
        filtered = numpy.convolve(samples[: TAPS - 1 + 3 * whole], numpy.array(_lowpass(phases=1)), "valid")
        return _rounded(filtered[::3])


def _rounded(values: Any) -> bytes:
    return bytes(((values + _ONE // 2) >> 15).clip(-32_768, 32_767).astype("<i2").tobytes())


@cache
def _lowpass(phases: int) -> tuple[int, ...]:
    """Blackman-windowed sinc; every phase sums up to one, so that a steady level stays what it is."""
    middle = TAPS // 2
    shape = []
    for tap in range(TAPS):
        x = 2 * pi * CUTOFF * (tap - middle)
        window = 0.42 - 0.5 * cos(2 * pi * tap / (TAPS - 1)) + 0.08 * cos(4 * pi * tap / (TAPS - 1))
        shape.append((sin(x) / x if x else 1.0) * window)
    taps = [0] * TAPS
    for phase in range(phases):
        total = sum(shape[phase::phases])
        taps[phase::phases] = [round(value / total * _ONE) for value in shape[phase::phases]]
        taps[middle - (middle - phase) % phases] += _ONE - sum(taps[phase::phases])
    return tuple(taps)
