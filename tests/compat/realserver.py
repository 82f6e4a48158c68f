"""`duologue serve` as a process of its own, and recorded speech for those who call it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav

CLIPS = Path(__file__).parent.parent / "clips"
BYTES_PER_MS = 48
CHUNK_BYTES = BYTES_PER_MS * 100


@contextmanager
def duologue_serve(*arguments: str) -> Iterator[str]:
    """The server on a free port; gives `127.0.0.1:port`."""
    command = [sys.executable, "-m", "duologue.cli.main", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("duologue serve: listening on ws://"), line
        yield line.split("ws://")[1].split("/")[0]
    finally:
        process.terminate()
        process.communicate(timeout=20)


def clip(name: str, *, silence_ms: int = 0) -> bytes:
    """A recorded sentence as mono PCM16 at 24 kHz, with silence after it."""
    wav = parse_wav((CLIPS / f"{name}.wav").read_bytes())
    return resample(wav.mono(), wav.spec.rate_hz, 24_000) + bytes(BYTES_PER_MS * silence_ms)


def chunks(audio: bytes) -> Iterator[bytes]:
    """The sound in pieces of 100 ms, as a microphone brings it."""
    for start in range(0, len(audio), CHUNK_BYTES):
        yield audio[start : start + CHUNK_BYTES]
