"""Telephone sound made wide."""

from __future__ import annotations

from array import array
from math import pi, sin

import pytest

from duologue.audio.pcm16 import rms
from duologue.audio.widen import WIDE_HZ, Widener

numpy = pytest.importorskip("numpy")


def tone(hertz: int, seconds: float, rate_hz: int) -> bytes:
    return array("h", (int(8000 * sin(2 * pi * hertz * n / rate_hz)) for n in range(int(seconds * rate_hz)))).tobytes()


def strength(sound: bytes, hertz: int) -> float:
    values = numpy.frombuffer(sound, dtype="<i2").astype(float)
    spectrum = abs(numpy.fft.rfft(values)) / len(values)
    return float(spectrum[round(hertz * len(values) / WIDE_HZ)])


def test_a_tone_gets_its_mirror_image() -> None:
    widener = Widener(24_000)
    wide = widener.feed(tone(1000, 1.0, 24_000)) + widener.flush()
    assert abs(len(wide) - 2 * WIDE_HZ) <= 4
    assert strength(wide, 7000) == pytest.approx(0.7 * strength(wide, 1000), rel=0.1)


@pytest.mark.parametrize("step", [2, 34, 960, 4802])
def test_chunking_is_invisible(step: int) -> None:
    sound = tone(440, 0.3, 24_000)
    whole, split = Widener(24_000), Widener(24_000)
    expected = whole.feed(sound) + whole.flush()
    got = b"".join(split.feed(sound[i : i + step]) for i in range(0, len(sound), step)) + split.flush()
    assert got == expected
    assert rms(got) > 0.1
