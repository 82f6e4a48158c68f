from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.audio.spec import ALAW_8K, BYTES_PER_MS, PCM16_16K, PCM16_24K, SAMPLES_PER_MS, ULAW_8K, AudioSpec


def test_milliseconds_and_bytes() -> None:
    assert PCM16_24K.bytes_in(100) == 4_800
    assert PCM16_16K.bytes_in(32) == 1_024
    assert ULAW_8K.bytes_in(20) == ALAW_8K.bytes_in(20) == 160
    assert AudioSpec(channels=2, rate_hz=44_100).bytes_in(1_000) == 176_400
    assert PCM16_24K.ms_in(4_801) == 100


@given(st.integers(0, 10_000_000))
def test_whole_milliseconds_survive_the_round_trip(duration_ms: int) -> None:
    assert PCM16_24K.ms_in(PCM16_24K.bytes_in(duration_ms)) == duration_ms


@given(st.integers(0, 10_000), st.sampled_from([11_025, 22_050, 44_100]))
def test_odd_rates_give_whole_frames(duration_ms: int, rate_hz: int) -> None:
    assert AudioSpec(rate_hz=rate_hz).bytes_in(duration_ms) % 2 == 0


@pytest.mark.parametrize("wrong", [{"rate_hz": 0}, {"channels": 0}])
def test_impossible_sound(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        AudioSpec(**wrong)


def test_a_millisecond_of_the_usual_sound() -> None:
    assert (SAMPLES_PER_MS, BYTES_PER_MS) == (24, 48)
