"""Pauses, pitch and loudness of sounds whose melody is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.audio import pcm16
from duologue.engines.melody import melody

RATE_HZ = 24_000


def voice(
    pitch: Callable[[float], float], *, ms: int = 1_000, loudness: Callable[[float], float] = lambda _: 1
) -> bytes:
    """A buzz with ten harmonics; `pitch` (Hz) and `loudness` over the share of its length."""
    phase, values = 0.0, []
    for n in range(RATE_HZ * ms // 1000):
        share = n / (RATE_HZ * ms / 1000)
        phase += 2 * math.pi * pitch(share) / RATE_HZ
        values.append(round(900 * loudness(share) * sum(math.sin(k * phase) for k in range(1, 11))))
    return pcm16.pack(values)


def silence(ms: int) -> bytes:
    return pcm16.silence(ms, RATE_HZ)


@pytest.mark.parametrize("hertz", [85, 120, 210, 330])
def test_a_level_voice_has_neither_fall_nor_rise(hertz: int) -> None:
    heard = melody(voice(lambda _: hertz) + silence(300))
    assert heard.pause_ms == pytest.approx(300, abs=20)
    assert heard.speech_ms == pytest.approx(1_000, abs=30)
    assert abs(heard.slope) < 0.5
    assert abs(heard.depth) < 0.5
    assert abs(heard.decay_db) < 2


@pytest.mark.parametrize("start", [110, 220])
def test_a_fall_and_a_rise_are_told_apart(start: int) -> None:
    fall = melody(voice(lambda share: start * (1 - 0.35 * max(0.0, share - 0.7) / 0.3)) + silence(200))
    rise = melody(voice(lambda share: start * (1 + 0.35 * max(0.0, share - 0.7) / 0.3)) + silence(200))
    assert fall.slope < -2
    assert fall.depth < -3
    assert rise.slope > 2
    assert rise.depth > 2


def test_fading_is_measured() -> None:
    faded = melody(voice(lambda _: 150, loudness=lambda share: 1 if share < 0.8 else 0.25) + silence(100))
    assert 8 < faded.decay_db < 16


def test_room_noise_after_the_speech_is_a_pause() -> None:
    hum = pcm16.pack(round(30 * math.sin(n / 7)) for n in range(RATE_HZ // 2))
    assert melody(voice(lambda _: 150) + hum).pause_ms == pytest.approx(500, abs=20)


@pytest.mark.parametrize("sound", [b"", b"\x00", silence(5), silence(700)])
def test_silence_is_only_a_pause(sound: bytes) -> None:
    heard = melody(sound)
    assert (heard.speech_ms, heard.slope, heard.depth, heard.decay_db) == (0, 0, 0, 0)
    assert heard.pause_ms == len(sound) // 480 * 10


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=20_000))
def test_any_sound_has_finite_measures(sound: bytes) -> None:
    heard = melody(sound)
    assert all(math.isfinite(value) for value in (heard.slope, heard.depth, heard.decay_db))
