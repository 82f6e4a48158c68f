"""G.711 µ-law and A-law: PCM16 mono to and from one byte a sample, as ITU-T G.711 (11/88) tables 1 and 2. Pure.

Every code survives decoding and encoding, except µ-law 0x7F: "negative zero" comes back as 0xFF, "positive zero".
"""

from __future__ import annotations

from functools import cache
from itertools import chain

from duologue.audio.pcm16 import Buffer, samples


def ulaw_encode(pcm: Buffer) -> bytes:
    """PCM16 to µ-law. Raises ValueError on an odd number of bytes."""
    return bytes(map(_encode_table(False).__getitem__, samples(pcm)))


def alaw_encode(pcm: Buffer) -> bytes:
    """PCM16 to A-law. Raises ValueError on an odd number of bytes."""
    return bytes(map(_encode_table(True).__getitem__, samples(pcm)))


def ulaw_decode(codes: Buffer) -> bytes:
    """µ-law to PCM16, twice as long."""
    return _decode(codes, *_decode_tables(False))


def alaw_decode(codes: Buffer) -> bytes:
    """A-law to PCM16, twice as long."""
    return _decode(codes, *_decode_tables(True))


def _decode(codes: Buffer, low: bytes, high: bytes) -> bytes:
    # Two byte translations and a strided copy run in C; a lookup per sample would not.
    codes = bytes(codes)
    pcm = bytearray(2 * len(codes))
    pcm[0::2] = codes.translate(low)
    pcm[1::2] = codes.translate(high)
    return bytes(pcm)


@cache
def _decode_tables(alaw: bool) -> tuple[bytes, bytes]:
    """Low and high byte of the sample for each code."""
    expand = _alaw_to_linear if alaw else _ulaw_to_linear
    linear = [expand(code) & 0xFFFF for code in range(256)]
    return bytes(value & 0xFF for value in linear), bytes(value >> 8 for value in linear)


@cache
def _encode_table(alaw: bool) -> bytes:
    """The code for each sample; negative samples index from the end, as Python's indices do."""
    compress = _linear_to_alaw if alaw else _linear_to_ulaw
    return bytes(map(compress, chain(range(32_768), range(-32_768, 0))))


def _linear_to_ulaw(sample: int) -> int:
    value, mask = sample >> 2, 0xFF
    if value < 0:
        value, mask = -value, 0x7F
    value = min(value, 8159) + 33
    segment = max(value.bit_length() - 6, 0)
    if segment > 7:
        return 0x7F ^ mask
    return (segment << 4 | value >> (segment + 1) & 0xF) ^ mask


def _ulaw_to_linear(code: int) -> int:
    code = ~code & 0xFF
    value = (((code & 0xF) << 3) + 132 << (code >> 4 & 7)) - 132
    return -value if code & 0x80 else value


def _linear_to_alaw(sample: int) -> int:
    value, mask = sample >> 3, 0xD5
    if value < 0:
        value, mask = ~value, 0x55
    segment = max(value.bit_length() - 5, 0)
    return (segment << 4 | value >> max(segment, 1) & 0xF) ^ mask


def _alaw_to_linear(code: int) -> int:
    code ^= 0x55
    value, segment = (code & 0xF) << 4, code >> 4 & 7
    value = value + 8 if segment == 0 else value + 0x108 << segment - 1
    return value if code & 0x80 else -value
