"""`duologue serve` and `duologue relay` as processes of their own, and recorded speech for those who call it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav

CLIPS = Path(__file__).parent.parent / "clips"
SOURCES = Path(__file__).parents[2] / "src"
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


@contextmanager
def duologue_relay(upstream: str, folder: Path, settings: str = "", *arguments: str) -> Iterator[str]:
    """The relay before the server at `upstream`, with `settings` as its relay.toml; gives `127.0.0.1:port`."""
    (folder / "relay.toml").write_text(settings)
    command = [sys.executable, "-m", "duologue.cli.main", "relay", "--port", "0", "--drain-seconds", "1", *arguments]
    address = f"ws://{upstream}/v1/realtime"
    log = (folder / "calls.log").open("wb")
    process = subprocess.Popen(
        [*command, "--upstream", address],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCES), "RELAY_SIGNING_KEY": "0123456789abcdef" * 4},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("duologue relay: listening on ws://"), (folder / "calls.log").read_text()
        yield line.split("ws://")[1].split("/")[0]
    finally:
        process.terminate()
        process.communicate(timeout=20)
        log.close()
