"""Signed 16-bit little-endian PCM held as bytes: samples, level, silence, channels. Pure, and needs no package."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable
from operator import mul
from typing import Any

Buffer = bytes | bytearray | memoryview

FULL_SCALE = 32_768
"""Magnitude of the most negative sample; levels are shares of it."""


def samples(data: Buffer) -> array[int]:
    """The samples as native integers -32768..32767. Raises ValueError if `data` ends inside a sample."""
    _check(data)
    values = array("h")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def as_bytes(audio: Any) -> bytes:
    """PCM16 in any shape as bytes: bytes, bytearray, memoryview, `array('h')`, an int16 ndarray.

    Raises TypeError for other items than bytes or 16-bit samples, and ValueError on an odd number of bytes.
    """
    data = sound_bytes(audio)
    _check(data)
    return data


def sound_bytes(audio: Any) -> bytes:
    """As `as_bytes`, for sound that may be G.711 with its one byte a sample: any number of bytes. Raises TypeError."""
    if isinstance(audio, bytes):
        return audio
    try:
        view = memoryview(audio)
    except TypeError:
        raise TypeError(f"sound is bytes or 16-bit samples, not {type(audio).__name__}") from None
    if view.format not in ("h", "<h", "b", "B", "c"):
        raise TypeError(f"sound is bytes or 16-bit samples, not items of format {view.format!r}")
    return view.tobytes()


def pack(values: Iterable[int]) -> bytes:
    """Integer samples as PCM16; what exceeds the range is clipped."""
    packed = array("h", [max(-32_768, min(32_767, value)) for value in values])
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def rms(data: Buffer) -> float:
    """Root mean square level, 0.0 (silence or nothing) to 1.0. Raises ValueError on an odd length."""
    values = samples(data)
    return math.sqrt(sum(map(mul, values, values)) / len(values)) / FULL_SCALE if values else 0.0


def peak(data: Buffer) -> float:
    """Largest magnitude, 0.0 to 1.0. Raises ValueError on an odd length."""
    values = samples(data)
    return max(max(values), -min(values)) / FULL_SCALE if values else 0.0


def silence(duration_ms: int, rate_hz: int = 24_000) -> bytes:
    """`duration_ms` of mono silence."""
    return bytes(duration_ms * rate_hz // 1000 * 2)


def mono(data: Buffer, channels: int) -> bytes:
    """Interleaved channels averaged to one, rounded down. Raises ValueError if `data` ends inside a frame."""
    if channels < 1:
        raise ValueError(f"sound has at least one channel, not {channels}")
    if len(data) % (2 * channels):
        raise ValueError(f"{len(data)} bytes do not hold whole frames of {channels} 16-bit channels")
    if channels == 1:
        return bytes(data)
    values = samples(data)
    lanes = [values[lane::channels] for lane in range(channels)]
    return pack(sum(frame) // channels for frame in zip(*lanes, strict=True))


def _check(data: Buffer) -> None:
    if len(data) % 2:
        raise ValueError(f"16-bit PCM has an even number of bytes, not {len(data)}")
