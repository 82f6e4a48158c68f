from __future__ import annotations

from pathlib import Path

import pytest

from duologue.audio.files import WavWriter
from duologue.audio.wav import parse_wav


def test_the_header_is_right_in_the_end(tmp_path: Path) -> None:
    with WavWriter(tmp_path / "a.wav", channels=2) as writer:
        writer.write(bytes(range(8)))
        with pytest.raises(ValueError, match="whole frames"):
            writer.write(b"\0\0")
    writer.close()
    file = (tmp_path / "a.wav").read_bytes()
    assert parse_wav(file).data == bytes(range(8))
    assert int.from_bytes(file[4:8], "little") == len(file) - 8


def test_a_crash_costs_less_than_a_second(tmp_path: Path) -> None:
    """Nobody closes the file: what its header promises is there, and is all but the last second."""
    writer = WavWriter(tmp_path / "b.wav", rate_hz=8_000)
    for _ in range(55):
        writer.write(bytes(1_600))
    file = (tmp_path / "b.wav").read_bytes()
    told = int.from_bytes(file[40:44], "little")
    assert 44 + told <= len(file)
    assert told > 55 * 1_600 - 16_000
    assert writer.duration_ms == 5_500
    writer.close()
