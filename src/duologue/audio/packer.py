"""WavPacker: samples to WAV files, under the names of the JavaScript original. Pure.

Its header gives the true sizes, and the file says what it is: `audio/wav`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from duologue.audio.pcm16 import as_bytes, mono, pack
from duologue.audio.resample import resample
from duologue.audio.wav import pack_wav, parse_wav

LOWEST_RATE_HZ = 3_000


class PackedWav(Struct, frozen=True, kw_only=True):
    """A whole WAV file in `data`; `duration` in seconds."""

    data: bytes
    sample_rate: int
    channel_count: int
    duration: float
    mime_type: str = "audio/wav"


class Decoded(Struct, frozen=True, kw_only=True):
    """A recording brought to one rate: `values` is PCM16 mono, `wav` the same as a file."""

    wav: PackedWav
    values: bytes


class WavPacker:
    """Three functions under one name."""

    @staticmethod
    def pack(sample_rate: int, pcm: Any, channels: int = 1) -> PackedWav:
        """PCM16, channels interleaved, as a WAV file.

        Takes bytes, bytearray, memoryview, `array('h')` and int16 ndarrays. Raises ValueError on part of a frame.
        """
        data = as_bytes(pcm)
        return PackedWav(
            data=pack_wav(data, rate_hz=sample_rate, channels=channels),
            sample_rate=sample_rate,
            channel_count=channels,
            duration=len(data) / (2 * channels * sample_rate),
        )

    @staticmethod
    def float_to_16bit_pcm(values: Iterable[float]) -> bytes:
        """Samples from -1.0 to 1.0 as PCM16; what exceeds the range is clipped."""
        return pack(int(max(-1.0, min(1.0, value)) * (32_768 if value < 0 else 32_767)) for value in values)

    @staticmethod
    def merge_buffers(left: Any, right: Any) -> bytes:
        """PCM16 of one after the other."""
        return as_bytes(left) + as_bytes(right)


def decode(audio: Any, sample_rate: int = 24_000, from_sample_rate: int = -1) -> Decoded:
    """A WAV file (bytes), or bare samples taken at `from_sample_rate`, as PCM16 mono at `sample_rate`.

    Bare samples are PCM16 in any shape, or floats from -1.0 to 1.0. Raises ValueError where `from_sample_rate` is missing
    for bare samples, given for a file, or below 3000 Hz, and MissingExtra where rates differ and soxr is not installed.
    """
    if isinstance(audio, bytes | bytearray | memoryview) and bytes(audio[:4]) == b"RIFF":
        if from_sample_rate > 0:
            raise ValueError("a WAV file says its own rate: from_sample_rate is for bare samples")
        wav = parse_wav(audio)
        values, from_sample_rate = wav.mono(), wav.spec.rate_hz
    else:
        if from_sample_rate < 0:
            raise ValueError("bare samples do not say their rate: pass from_sample_rate")
        if from_sample_rate < LOWEST_RATE_HZ:
            raise ValueError(f"from_sample_rate is at least {LOWEST_RATE_HZ} Hz, not {from_sample_rate}")
        values = _bare(audio)
    if from_sample_rate != sample_rate:
        values = resample(values, from_sample_rate, sample_rate)
    return Decoded(wav=WavPacker.pack(sample_rate, values), values=values)


def _bare(audio: Any) -> bytes:
    if isinstance(audio, Sequence) and not isinstance(audio, bytes | bytearray | memoryview | array | str):
        return WavPacker.float_to_16bit_pcm(audio)
    try:
        view = memoryview(audio)
    except TypeError:
        raise TypeError(f"sound is bytes or samples, not {type(audio).__name__}") from None
    if view.format in ("f", "d", "<f", "<d"):
        return WavPacker.float_to_16bit_pcm(view.cast("B").cast("f" if view.itemsize == 4 else "d").tolist())
    return mono(as_bytes(audio), 1)
