from __future__ import annotations

import io
import wave
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.audio.packer import WavPacker


@given(st.lists(st.integers(-32_768, 32_767), max_size=200), st.sampled_from([8_000, 24_000, 48_000]))
def test_any_reader_finds_the_sound(values: list[int], rate_hz: int) -> None:
    packed = WavPacker.pack(rate_hz, array("h", values))
    with wave.open(io.BytesIO(packed.data)) as reader:
        assert reader.getframerate() == rate_hz
        assert array("h", reader.readframes(1_000)).tolist() == values
    assert int.from_bytes(packed.data[4:8], "little") == len(packed.data) - 8
    assert packed.duration == len(values) / rate_hz
    assert packed.mime_type == "audio/wav"


def test_floats_and_merging() -> None:
    assert WavPacker.float_to_16bit_pcm([0, 1, -1, 2, -2]) == b"\0\0\xff\x7f\0\x80\xff\x7f\0\x80"
    assert WavPacker.merge_buffers(b"\1\0", array("h", [2])) == b"\1\0\2\0"
    with pytest.raises(ValueError, match="even number"):
        WavPacker.pack(24_000, b"\0")
    with pytest.raises(ValueError, match="whole frames"):
        WavPacker.pack(24_000, b"\0\0", channels=2)
