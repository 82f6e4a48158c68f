from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable

import numpy
import pytest

from duologue.engines.base import Field
from duologue.engines.webrtc_noise import WebrtcNoiseReducer

pytest.importorskip("webrtc_noise_gain", reason="the extra `noise` has no build for this system")

RATE_HZ = 24_000
FIELDS: tuple[Field, Field] = ("near_field", "far_field")
Clip = Callable[[str], bytes]


def noise(kind: str, samples: int) -> numpy.ndarray:
    """A second hand would hear no difference: the same noise at every run, RMS 1."""
    at = numpy.arange(samples) / RATE_HZ
    if kind == "white":
        made = numpy.random.default_rng(7).normal(0, 1, samples)
    else:
        made = sum((numpy.sin(2 * numpy.pi * 100 * k * at) / k for k in range(1, 7)), start=numpy.zeros(samples))
    return made / numpy.sqrt(numpy.mean(made**2))


def noisy(speech: bytes, kind: str, snr_db: float) -> bytes:
    """1.5 s of noise alone, then speech in it."""
    clean = numpy.concatenate([numpy.zeros(3 * RATE_HZ // 2), numpy.frombuffer(speech, "<i2").astype(float)])
    level = numpy.sqrt(numpy.mean(clean[clean != 0] ** 2)) * 10 ** (-snr_db / 20)
    return numpy.rint(clean + level * noise(kind, len(clean))).clip(-32_768, 32_767).astype("<i2").tobytes()


def filtered(sound: bytes, field: Field) -> bytes:
    stream = WebrtcNoiseReducer().open(field)
    return stream.feed(sound) + stream.flush()


def snr_db(sound: bytes) -> float:
    """Power of the part with speech over that of the last half second before it."""
    samples = numpy.frombuffer(sound, "<i2").astype(float)
    alone, speech = samples[RATE_HZ : 3 * RATE_HZ // 2], samples[3 * RATE_HZ // 2 :]
    return float(10 * numpy.log10(numpy.mean(speech**2) / numpy.mean(alone**2)))


@pytest.mark.parametrize("kind", ["white", "hum"])
@pytest.mark.parametrize(("field", "gain_db"), [("near_field", 8), ("far_field", 12)])
def test_speech_stands_out_more(clip: Clip, kind: str, field: Field, gain_db: float) -> None:
    sound = noisy(clip("weather_in_paris"), kind, 15)
    assert snr_db(filtered(sound, field)) > snr_db(sound) + gain_db


@pytest.mark.parametrize("field", FIELDS)
def test_as_much_comes_out_as_went_in_and_nothing_moves(clip: Clip, field: Field) -> None:
    sound = clip("weather_in_paris")
    before, after = (numpy.frombuffer(pcm, "<i2").astype(float) for pcm in (sound, filtered(sound, field)))
    assert len(before) == len(after)
    shifts = range(-480, 481, 8)
    alike = [float(before[500:-500] @ after[500 + shift : len(after) - 500 + shift]) for shift in shifts]
    assert abs(shifts[alike.index(max(alike))]) <= 24  # a millisecond: the filter bends phases a little


def test_chunking_is_invisible(clip: Clip) -> None:
    sound, chance = clip("weather_in_paris"), random.Random(4)
    stream, pieces, at = WebrtcNoiseReducer().open("near_field"), b"", 0
    while at < len(sound):
        size = 2 * chance.randint(0, 1_200)
        pieces += stream.feed(sound[at : at + size])
        at += size
    assert pieces + stream.flush() == filtered(sound, "near_field")


def test_little_is_held_back() -> None:
    stream = WebrtcNoiseReducer().open("near_field")
    fed = given = 0
    for _ in range(200):
        given += len(stream.feed(bytes(480)))
        fed += 480
    assert fed - given <= 45 * 48


def test_flushing_in_the_middle_goes_on_behind_it() -> None:
    stream, chance = WebrtcNoiseReducer().open("far_field"), random.Random(9)
    fed = given = 0
    for _ in range(60):
        size = 2 * chance.choice([0, 1, 7, 240, 480, 5_000])
        fed += size
        given += len(stream.feed(chance.randbytes(size)))
        if chance.random() < 0.3:
            given += len(stream.flush())
            assert given == fed
    assert given + len(stream.flush()) == fed
    assert stream.flush() == b""


def test_engine_starts() -> None:
    asyncio.run(WebrtcNoiseReducer().start())


def test_missing_package_names_the_extra() -> None:
    script = (
        "import asyncio, sys; sys.modules['webrtc_noise_gain'] = None\n"
        "from duologue.engines.webrtc_noise import WebrtcNoiseReducer\n"
        "from duologue.errors import MissingExtra\n"
        "try: WebrtcNoiseReducer().open('near_field')\n"
        "except MissingExtra as error: print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert answer.stdout.strip() == "webrtc-noise-gain is not installed. Run: pip install 'duologue[noise]'"
