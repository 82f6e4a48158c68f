from __future__ import annotations

import math
import random
import subprocess
import sys

import pytest

from duologue.audio import pcm16
from duologue.audio.resample import Resampler, resample

RATES = [(24_000, 16_000), (22_050, 24_000), (8_000, 24_000), (24_000, 8_000), (48_000, 24_000)]


def sine(rate_hz: int, frequency_hz: int, duration_ms: int) -> bytes:
    return pcm16.pack(
        round(10_000 * math.sin(2 * math.pi * frequency_hz * n / rate_hz)) for n in range(rate_hz * duration_ms // 1000)
    )


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_chunking_changes_nothing(from_hz: int, to_hz: int) -> None:
    chance = random.Random(7)
    sound = pcm16.pack(chance.randint(-32_768, 32_767) for _ in range(from_hz))
    resampler = Resampler(from_hz, to_hz)
    whole = resampler.feed(sound) + resampler.flush()
    pieces, at = b"", 0
    while at < len(sound):
        size = 2 * chance.randint(0, 1_500)
        pieces += resampler.feed(sound[at : at + size])
        at += size
    assert pieces + resampler.flush() == whole
    assert len(whole) // 2 == to_hz


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_tone_stays_the_tone(from_hz: int, to_hz: int) -> None:
    converted = pcm16.samples(resample(sine(from_hz, 440, 500), from_hz, to_hz))
    expected = pcm16.samples(sine(to_hz, 440, 500))
    middle = slice(len(expected) // 4, -len(expected) // 4)
    worst = max(abs(a - b) for a, b in zip(converted[middle], expected[middle], strict=True))
    assert worst <= 40


def test_streaming_holds_back_little() -> None:
    resampler = Resampler(24_000, 16_000)
    assert 16_000 - len(resampler.feed(bytes(48_000))) // 2 <= 250


def test_equal_rates_pass_through() -> None:
    resampler = Resampler(24_000, 24_000)
    assert resampler.feed(b"\1\2") == b"\1\2"
    assert resampler.flush() == b""


@pytest.mark.parametrize("to_hz", [16_000, 24_000])
def test_half_a_sample_is_refused(to_hz: int) -> None:
    with pytest.raises(ValueError, match="even"):
        Resampler(24_000, to_hz).feed(b"\0")


def test_missing_package_names_the_extra() -> None:
    script = (
        "import sys; sys.modules['soxr'] = None\n"
        "from duologue.audio.resample import Resampler\n"
        "from duologue.errors import MissingExtra\n"
        "try: Resampler(8000, 16000)\n"
        "except MissingExtra as error: print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert answer.stdout.strip() == "soxr is not installed. Run: pip install 'duologue[server]' or 'duologue[mic]'"
