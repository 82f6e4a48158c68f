"""How loud a sound is at which frequency, in bins or in notes, for drawing. Pure."""

from __future__ import annotations

from functools import cache
from typing import Literal

from msgspec import Struct

from duologue.audio.pcm16 import Buffer
from duologue.errors import MissingExtra

AnalysisType = Literal["frequency", "music", "voice"]

WINDOW = 8_192
"""Samples that are looked at; 341 ms at 24 kHz."""
MIN_DECIBELS = -100.0
MAX_DECIBELS = -30.0

_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_OCTAVES = range(1, 9)
_VOICE_HZ = (32.0, 2_000.0)
_QUARTER_TONE = 2 ** (1 / 24)


class Frequencies(Struct, frozen=True, kw_only=True):
    """`values` from 0.0 (at or below the lower limit) to 1.0, each for the frequency (Hz) and label at the same place."""

    values: tuple[float, ...]
    frequencies: tuple[float, ...]
    labels: tuple[str, ...]


def frequencies_of(
    pcm: Buffer,
    analysis_type: AnalysisType = "frequency",
    min_decibels: float = MIN_DECIBELS,
    max_decibels: float = MAX_DECIBELS,
    rate_hz: int = 24_000,
) -> Frequencies:
    """The spectrum of the last 8192 samples of PCM16 mono; a shorter sound stands at the end of silence.

    `frequency` gives 4096 bins up to half the rate, `music` the 96 notes C1 to B8, `voice` those of them between 32 and
    2000 Hz (72, C1 to B6). A note is as loud as the loudest bin within a quarter tone of it; where the bins lie further
    apart than notes, as its nearest bin. Full-scale sine: about -7.5 dB, as browsers measure it (Blackman window).

    Raises ValueError for other types or limits, or part of a sample, and MissingExtra where numpy is not installed.
    """
    if analysis_type not in ("frequency", "music", "voice"):
        raise ValueError(f"analysis_type is 'frequency', 'music' or 'voice', not {analysis_type!r}")
    if min_decibels >= max_decibels:
        raise ValueError(f"min_decibels ({min_decibels}) must lie below max_decibels ({max_decibels})")
    shares = _shares(pcm, min_decibels, max_decibels)
    step_hz = rate_hz / WINDOW
    if analysis_type == "frequency":
        bins, labels = _bins(rate_hz)
        return Frequencies(values=tuple(shares), frequencies=bins, labels=labels)
    notes = _notes(*((0.0, float(rate_hz)) if analysis_type == "music" else _VOICE_HZ))
    values = []
    for hz, _ in notes:
        low, high = round(hz / _QUARTER_TONE / step_hz), round(hz * _QUARTER_TONE / step_hz)
        values.append(max(shares[low : max(high, low + 1)], default=0.0))
    return Frequencies(
        values=tuple(values), frequencies=tuple(hz for hz, _ in notes), labels=tuple(n for _, n in notes)
    )


def _shares(pcm: Buffer, min_decibels: float, max_decibels: float) -> list[float]:
    if len(pcm) % 2:
        raise ValueError(f"16-bit PCM has an even number of bytes, not {len(pcm)}")
    try:
        import numpy
    except ImportError as error:
        raise MissingExtra("numpy", "mic", "server") from error
    samples = numpy.frombuffer(pcm, dtype="<i2")[-WINDOW:].astype(numpy.float64) / 32_768
    padded = numpy.zeros(WINDOW)
    padded[WINDOW - len(samples) :] = samples
    phase = 2 * numpy.pi * numpy.arange(WINDOW) / WINDOW
    blackman = 0.42 - 0.5 * numpy.cos(phase) + 0.08 * numpy.cos(2 * phase)
    magnitude = numpy.abs(numpy.fft.rfft(padded * blackman))[: WINDOW // 2] / WINDOW
    decibels = 20 * numpy.log10(numpy.maximum(magnitude, 1e-12))
    shares: list[float] = ((decibels - min_decibels) / (max_decibels - min_decibels)).clip(0.0, 1.0).tolist()
    return shares


@cache
def _bins(rate_hz: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
    bins = tuple(index * rate_hz / WINDOW for index in range(WINDOW // 2))
    return bins, tuple(f"{hz:.2f} Hz" for hz in bins)


@cache
def _notes(above_hz: float, below_hz: float) -> tuple[tuple[float, str], ...]:
    """Equal temperament, A4 = 440 Hz."""
    notes = [
        (440.0 * 2 ** (octave - 4 + (place - 9) / 12), f"{name}{octave}")
        for octave in _OCTAVES
        for place, name in enumerate(_NAMES)
    ]
    return tuple((hz, name) for hz, name in notes if above_hz < hz < below_hz)
