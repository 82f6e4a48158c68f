from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.audio import pcm16

Samples = st.lists(st.integers(-32_768, 32_767))


@given(Samples)
def test_samples_survive_packing(values: list[int]) -> None:
    assert pcm16.samples(pcm16.pack(values)).tolist() == values


def test_packing_is_little_endian_and_clips() -> None:
    assert pcm16.pack([1, 40_000, -40_000]) == b"\x01\x00\xff\x7f\x00\x80"


def test_level_of_a_sine() -> None:
    sine = pcm16.pack(round(16_384 * math.sin(2 * math.pi * n / 100)) for n in range(1_000))
    assert pcm16.rms(sine) == pytest.approx(0.5 / math.sqrt(2), rel=1e-3)
    assert pcm16.peak(sine) == pytest.approx(0.5, rel=1e-3)


def test_the_loudest_sample_is_one() -> None:
    assert pcm16.peak(pcm16.pack([-32_768])) == 1.0
    assert pcm16.rms(pcm16.pack([-32_768])) == 1.0


def test_nothing_has_no_level() -> None:
    assert pcm16.rms(b"") == pcm16.peak(b"") == 0.0
    assert pcm16.rms(pcm16.silence(20)) == 0.0


@pytest.mark.parametrize("function", [pcm16.samples, pcm16.rms, pcm16.peak])
def test_half_a_sample_is_refused(function: object) -> None:
    with pytest.raises(ValueError, match="even"):
        function(b"\0\0\0")  # type: ignore[operator]


def test_silence_counts_time() -> None:
    assert len(pcm16.silence(20)) == 960
    assert len(pcm16.silence(20, 16_000)) == 640


def test_mono_averages() -> None:
    assert pcm16.mono(pcm16.pack([10, 20, -3, -5, 32_767, 32_767]), 2) == pcm16.pack([15, -4, 32_767])
    assert pcm16.mono(b"\1\0", 1) == b"\1\0"
    with pytest.raises(ValueError, match="frames"):
        pcm16.mono(b"\0\0", 2)
    with pytest.raises(ValueError, match="channel"):
        pcm16.mono(b"", 0)


def test_sound_in_any_shape_becomes_bytes() -> None:
    numpy = pytest.importorskip("numpy")
    for audio in (numpy.array([2, 1], dtype="int16")[::-1], array("h", [1, 2]), bytearray(b"\1\0\2\0")):
        assert pcm16.as_bytes(audio) == pcm16.sound_bytes(audio) == b"\1\0\2\0"
    assert pcm16.sound_bytes(memoryview(b"abc")) == b"abc"
    with pytest.raises(ValueError, match="even"):
        pcm16.as_bytes(memoryview(b"abc"))
    for audio in (numpy.zeros(2, dtype="float32"), "text", None):
        with pytest.raises(TypeError, match="sound is bytes or 16-bit samples"):
            pcm16.sound_bytes(audio)
