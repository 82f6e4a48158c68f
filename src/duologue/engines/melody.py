"""How a stretch of speech ends, by its sound alone: the length of the pause, the fall of pitch and of loudness. Pure.

Speakers who have finished let pitch and loudness fall (or raise the pitch, to ask); those who only pause keep both level.
"""

from __future__ import annotations

from itertools import pairwise
from math import log2
from typing import Any

from msgspec import Struct

from duologue.engines.base import SAMPLE_RATE_HZ

TAIL_MS = 3_000
"""How much sound before now is looked at."""
_HOP_MS = 10
_HOP = SAMPLE_RATE_HZ * _HOP_MS // 1000
_DECIMATE = 3
_PITCH_RATE_HZ = SAMPLE_RATE_HZ // _DECIMATE
_PITCH_WINDOW = _PITCH_RATE_HZ * 40 // 1000
_LOWEST_HZ, _HIGHEST_HZ = 70, 400
_VOICED = 0.5
"""A frame whose sound repeats itself at least this well has a pitch."""
_AS_GOOD = 0.88
_BELOW_PEAK_DB = 26.0
"""Sound this far below the loudest of the tail is not speech any more."""
_OCTAVE_JUMP = 7.0
"""A leap of more semitones than this from one frame to the next is a mistake about the octave."""


class Melody(Struct, frozen=True, kw_only=True):
    """What the end of the speech sounds like."""

    pause_ms: int
    """Silence since the last speech."""
    speech_ms: int
    """Speech in the tail, pauses not counted."""
    slope: float
    """Movement of the pitch over its last 250 ms, in semitones: below 0 it falls."""
    depth: float
    """Where the pitch ends, in semitones from the median of the tail."""
    decay_db: float
    """How far the last 120 ms of the speech lie below its median loudness: above 0 it fades."""


def melody(audio: bytes) -> Melody:
    """Of PCM16 sound at 24 kHz, mono, that ends now; all of it silence gives zeros and its length as pause."""
    import numpy

    samples = numpy.frombuffer(audio[len(audio) % 2 :], dtype="<i2").astype(numpy.float32)[-SAMPLE_RATE_HZ * 3 :]
    samples = samples[len(samples) % _HOP :]
    levels = 20 * numpy.log10(numpy.sqrt((samples.reshape(-1, _HOP) ** 2).mean(axis=1)) + 1) if len(samples) else None
    if levels is None or levels.max() < 30:
        return Melody(pause_ms=len(samples) // _HOP * _HOP_MS, speech_ms=0, slope=0.0, depth=0.0, decay_db=0.0)
    loud = numpy.flatnonzero(levels > levels.max() - _BELOW_PEAK_DB)
    end = int(loud[-1]) + 1
    pitches = _pitches(samples[: end * _HOP])
    late = [pitch for frame, pitch in pitches if frame >= pitches[-1][0] - 25] if pitches else []
    third = max(1, len(late) // 3)
    last = _median(late[-third:]) if late else 0.0
    return Melody(
        pause_ms=(len(levels) - end) * _HOP_MS,
        speech_ms=len(loud) * _HOP_MS,
        slope=last - _median(late[:third]) if late else 0.0,
        depth=last - _median([pitch for _, pitch in pitches]) if pitches else 0.0,
        decay_db=float(numpy.median(levels[loud]) - levels[max(0, end - 12) : end].mean()),
    )


def _pitches(samples: Any) -> list[tuple[int, float]]:
    """Frames (10 ms each) that have a pitch, with it in semitones above 55 Hz."""
    import numpy

    low = samples[: len(samples) // _DECIMATE * _DECIMATE].reshape(-1, _DECIMATE).mean(axis=1)
    hop = _HOP // _DECIMATE
    count = (len(low) - _PITCH_WINDOW) // hop + 1
    if count < 1:
        return []
    frames = numpy.lib.stride_tricks.sliding_window_view(low, _PITCH_WINDOW)[: count * hop : hop]
    frames = frames - frames.mean(axis=1, keepdims=True)
    power = numpy.abs(numpy.fft.rfft(frames, 2 * _PITCH_WINDOW, axis=1)) ** 2
    likeness = numpy.fft.irfft(power, axis=1)[:, :_PITCH_WINDOW]
    # A longer lag has fewer samples to agree on: without this weight high pitches would win.
    likeness = likeness / (1 - numpy.arange(_PITCH_WINDOW) / _PITCH_WINDOW)
    energy = likeness[:, 0]
    first, final = _PITCH_RATE_HZ // _HIGHEST_HZ, _PITCH_RATE_HZ // _LOWEST_HZ
    region = likeness[:, first:final]
    # A voice repeats itself after two periods as well as after one: the first good peak is the pitch.
    peaks = (region >= likeness[:, first - 1 : final - 1]) & (region >= likeness[:, first + 1 : final + 1])
    good = peaks & (region >= _AS_GOOD * region.max(axis=1, keepdims=True))
    lags = first + numpy.where(good.any(axis=1), good.argmax(axis=1), region.argmax(axis=1))
    best = likeness[numpy.arange(count), lags]
    heard = (best > _VOICED * energy) & (energy > 0.003 * energy.max())
    found = [(int(k), 12 * log2(_PITCH_RATE_HZ / float(lags[k]) / 55)) for k in numpy.flatnonzero(heard)]
    middle = _median([pitch for _, pitch in found]) if found else 0.0
    steady = [after for before, after in pairwise(found) if abs(after[1] - before[1]) < _OCTAVE_JUMP]
    return [(frame, pitch) for frame, pitch in steady if abs(pitch - middle) < 11]


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
