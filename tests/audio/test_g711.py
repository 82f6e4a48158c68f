from __future__ import annotations

import sys
import warnings
from array import array

import pytest

from duologue.audio import g711, pcm16

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = array("h", range(-32_768, 32_768)).tobytes()


def test_every_code_survives() -> None:
    assert g711.alaw_encode(g711.alaw_decode(EVERY_CODE)) == EVERY_CODE
    assert g711.ulaw_encode(g711.ulaw_decode(EVERY_CODE)) == EVERY_CODE.replace(b"\x7f", b"\xff")


def test_known_values() -> None:
    assert pcm16.samples(g711.ulaw_decode(b"\x00\x80\xff\x7f")).tolist() == [-32_124, 32_124, 0, 0]
    assert pcm16.samples(g711.alaw_decode(b"\xd5\x55\xaa\x2a")).tolist() == [8, -8, 32_256, -32_256]
    assert g711.ulaw_encode(pcm16.pack([0, 32_767, -32_768])) == b"\xff\x80\x00"
    assert g711.alaw_encode(pcm16.pack([0, 32_767, -32_768])) == b"\xd5\xaa\x2a"


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="audioop left the standard library")
def test_agrees_with_the_reference_on_every_sample() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import audioop
    assert g711.ulaw_encode(EVERY_SAMPLE) == audioop.lin2ulaw(EVERY_SAMPLE, 2)
    assert g711.alaw_encode(EVERY_SAMPLE) == audioop.lin2alaw(EVERY_SAMPLE, 2)
    assert g711.ulaw_decode(EVERY_CODE) == audioop.ulaw2lin(EVERY_CODE, 2)
    assert g711.alaw_decode(EVERY_CODE) == audioop.alaw2lin(EVERY_CODE, 2)


@pytest.mark.parametrize("encode", [g711.ulaw_encode, g711.alaw_encode])
def test_half_a_sample_is_refused(encode: object) -> None:
    with pytest.raises(ValueError, match="even"):
        encode(b"\0")  # type: ignore[operator]
