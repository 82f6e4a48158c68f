"""Sounds for tests, and what is found of them in recordings. Everything is PCM16 mono at 24 kHz."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import numpy


async def until(come: Callable[[], bool]) -> None:
    """Sound goes its own way: look again until it has come; the test's timeout ends a vain wait."""
    while not come():  # noqa: ASYNC110 - samples are counted in PortAudio's thread, which sets no event
        await asyncio.sleep(0.01)


def with_devices(scene: Callable[[AsyncExitStack], Awaitable[None]]) -> None:
    """Run a scene; the devices that it enters are closed even if it fails."""

    async def run() -> None:
        async with AsyncExitStack() as held:
            await scene(held)

    asyncio.run(run())


def sweep(duration_ms: int, *, start_hz: float = 300, end_hz: float = 3_000, level: float = 0.5) -> bytes:
    """A rising tone: nothing in it repeats, so its place in a recording is certain."""
    count = 24 * duration_ms
    t = numpy.arange(count) / 24_000
    phase = 2 * numpy.pi * (start_hz * t + (end_hz - start_hz) * t**2 / (2 * duration_ms / 1000))
    return bytes((numpy.sin(phase) * level * 32_767).astype("<i2").tobytes())


def sine(hz: float, duration_ms: int, level: float = 0.5) -> bytes:
    t = numpy.arange(24 * duration_ms) / 24_000
    return bytes((numpy.sin(2 * numpy.pi * hz * t) * level * 32_767).astype("<i2").tobytes())


def find(recording: bytes, original: bytes) -> tuple[int, float]:
    """Where the original begins in the recording (samples), and how alike they are there (1.0: the same shape)."""
    heard = numpy.frombuffer(recording, "<i2").astype(float)
    wanted = numpy.frombuffer(original, "<i2").astype(float)
    size = 1 << (len(heard) + len(wanted)).bit_length()
    product = numpy.fft.irfft(numpy.fft.rfft(heard, size) * numpy.conj(numpy.fft.rfft(wanted, size)), size)
    at = int(numpy.argmax(product[: max(1, len(heard) - len(wanted) + 1)]))
    there = heard[at : at + len(wanted)]
    scale = float(numpy.linalg.norm(there) * numpy.linalg.norm(wanted[: len(there)]))
    return at, float(there @ wanted[: len(there)]) / scale if scale else 0.0


def alike(recording: bytes, original: bytes, piece_ms: int = 50) -> float:
    """The share of the original's pieces that are in the recording, one after another: 1.0 when all of it is. A virtual
    sound card on a busy machine puts gaps between them, and takes the pieces in which they fall."""
    size, found, last = 48 * piece_ms, 0, -1
    pieces = [original[at : at + size] for at in range(0, len(original) - size + 1, size)]
    for piece in pieces:
        at, likeness = find(recording, piece)
        if likeness > 0.97 and at > last:
            found, last = found + 1, at
    return found / len(pieces)


def sounding(recording: bytes, threshold: int = 200) -> int:
    """Samples from the first to the last one that is not silent."""
    loud = numpy.flatnonzero(numpy.abs(numpy.frombuffer(recording, "<i2").astype(int)) > threshold)
    return int(loud[-1] - loud[0] + 1) if len(loud) else 0
