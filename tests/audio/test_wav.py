from __future__ import annotations

import contextlib
import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.audio import pcm16
from duologue.audio.spec import AudioSpec
from duologue.audio.wav import pack_wav, parse_wav

SOUND = pcm16.pack(range(-500, 500))


@given(st.binary(max_size=400), st.sampled_from([1, 2]), st.sampled_from([8_000, 24_000, 44_100]))
def test_what_is_packed_is_parsed(data: bytes, channels: int, rate_hz: int) -> None:
    data = data[: len(data) - len(data) % (2 * channels)]
    wav = parse_wav(pack_wav(data, rate_hz=rate_hz, channels=channels))
    assert wav.spec == AudioSpec(rate_hz=rate_hz, channels=channels)
    assert wav.data == data


def test_the_standard_library_reads_it() -> None:
    with wave.open(io.BytesIO(pack_wav(SOUND))) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (24_000, 1, 2)
        assert reader.readframes(10_000) == SOUND


def test_other_chunks_are_skipped() -> None:
    file = pack_wav(SOUND)
    odd_chunk = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert parse_wav(file[:12] + odd_chunk + file[12:36] + odd_chunk + file[36:]).data == SOUND


def test_extensible_format() -> None:
    extra = struct.pack("<HHIH14s", 22, 16, 4, 1, b"\0" * 14)
    fmt = struct.pack("<HHIIHH", 0xFFFE, 1, 24_000, 48_000, 2, 16) + extra
    file = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", 4) + b"\1\0\2\0"
    assert parse_wav(file).data == b"\1\0\2\0"


@pytest.mark.parametrize("size", [0xFFFFFFFF, 5_000])
def test_a_size_beyond_the_end_is_what_there_is(size: int) -> None:
    file = bytearray(pack_wav(SOUND))
    struct.pack_into("<I", file, 40, size)
    assert parse_wav(file).data == SOUND


def test_a_cut_sample_is_dropped() -> None:
    assert parse_wav(pack_wav(SOUND)[:-1]).data == SOUND[:-2]


def test_duration_and_mono() -> None:
    wav = parse_wav(pack_wav(pcm16.pack([2, 4] * 24_000), channels=2))
    assert wav.duration_ms == 1_000
    assert wav.mono() == pcm16.pack([3] * 24_000)


def changed(at: int, *numbers: int) -> bytes:
    file = bytearray(pack_wav(SOUND))
    struct.pack_into(f"<{len(numbers)}H", file, at, *numbers)
    return bytes(file)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "not a WAV"),
        (b"ID3\x04" + bytes(40), "not a WAV"),
        (pack_wav(SOUND)[:30], "format chunk has 10 bytes"),
        (pack_wav(SOUND)[:20], "format chunk has 0 bytes"),
        (pack_wav(SOUND)[:36], "no data"),
        (pack_wav(SOUND)[:12] + pack_wav(SOUND)[36:], "before its format"),
        (pack_wav(SOUND)[:12], "no format"),
        (changed(20, 3), "32-bit float"),
        (changed(20, 99), "format 99"),
        (changed(34, 24), "24-bit PCM"),
        (changed(22, 0), "contradicts"),
        (changed(32, 7), "contradicts"),
    ],
)
def test_what_cannot_be_read_says_why(file: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_wav(file)


@given(st.binary(max_size=80))
def test_no_bytes_break_it(noise: bytes) -> None:
    for file in (noise, b"RIFF\0\0\0\0WAVE" + noise, pack_wav(SOUND)[:20] + noise):
        with contextlib.suppress(ValueError):
            assert len(parse_wav(file).data) <= len(file)


def test_partial_frames_are_not_packed() -> None:
    with pytest.raises(ValueError, match="whole frames"):
        pack_wav(b"\0\0", channels=2)
