"""WavPort: a WAV file for a microphone, a WAV file for a loudspeaker, both on one clock; SplitPort: halves of two ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from duologue.audio.files import WavWriter
from duologue.audio.pcm16 import Buffer
from duologue.audio.playout import Playout
from duologue.audio.port import Heard, MediaPort
from duologue.audio.resample import resample
from duologue.audio.spec import BYTES_PER_MS, PCM16_24K, SAMPLES_PER_MS, AudioSpec
from duologue.audio.track import interleave
from duologue.audio.wav import Wav, parse_wav
from duologue.clock import Clock, monotonic_ms

CHUNK_MS = 20
LIMIT_S = 600


class WavPort:
    """Reads `source`, then silence until closed, or b"" after `tail_ms` of it; writes what it "plays" to `sink`.

    `source` is a path, the bytes of a file, or None for silence throughout; any rate and channels. `sink` is a path of a
    WAV file whose time runs like the port's: silence where nothing was played; None plays to nobody. `record_to` is a path
    for both sides on that time, the source on the left.

    `pace` 1.0 runs in real time by `clock`, 2.0 twice as fast; with None, time passes with each `read` and only so.
    Raises OSError and ValueError for a file that cannot be read, MissingExtra where it is not 24 kHz and soxr is missing.
    """

    def __init__(
        self,
        source: str | Path | bytes | None = None,
        sink: str | Path | None = None,
        *,
        record_to: str | Path | None = None,
        pace: float | None = 1.0,
        tail_ms: int | None = None,
        clock: Clock = monotonic_ms,
    ) -> None:
        self._sound = _load(source)
        self._pace = pace
        self._tail_ms = tail_ms
        self._clock = clock
        self._start_ms = clock()
        self._read_ms = 0
        self._passed_ms = 0
        self._playout = Playout(limit_samples=LIMIT_S * 1000 * SAMPLES_PER_MS)
        self._writer = WavWriter(sink) if sink is not None else None
        self._both = WavWriter(record_to, channels=2) if record_to is not None else None
        self._closed = False
        self._moved = asyncio.Event()

    @property
    def spec(self) -> AudioSpec:
        return PCM16_24K

    async def read(self) -> bytes:
        due_ms = self._read_ms + CHUNK_MS
        if self._pace is None:
            # Always let others run: a reader that never waits would starve them.
            await asyncio.sleep(0)
        else:
            await self._until(lambda: due_ms - self._now_ms())
        if self._closed or self._over():
            return b""
        chunk = self._sound[self._read_ms * BYTES_PER_MS : due_ms * BYTES_PER_MS]
        self._read_ms = due_ms
        self._pass()
        return chunk.ljust(CHUNK_MS * BYTES_PER_MS, b"\0")

    def write(self, pcm: Buffer, track_id: str = "default") -> bool:
        self._pass()
        return not self._closed and self._playout.add(pcm, track_id)

    def clear(self) -> list[Heard]:
        self._pass()
        cut = [
            Heard(
                track_id=count.track_id,
                played_ms=count.offset // SAMPLES_PER_MS,
                received_ms=count.received // SAMPLES_PER_MS,
            )
            for count in self._playout.cut()
        ]
        self._tell()
        return cut

    def played_ms(self, track_id: str) -> int:
        self._pass()
        return self._playout.count(track_id).offset // SAMPLES_PER_MS

    async def drained(self) -> None:
        """Wait until everything written was played or dropped; with `pace` None somebody has to go on reading."""
        await self._until(lambda: -(-self._playout.waiting // SAMPLES_PER_MS))

    async def close(self) -> None:
        if self._closed:
            return
        self._pass()
        self._playout.cut()
        self._closed = True
        self._tell()
        if self._writer is not None:
            self._writer.close()
        if self._both is not None:
            self._both.close()

    def _over(self) -> bool:
        end_ms = -(-len(self._sound) // BYTES_PER_MS)
        return self._tail_ms is not None and self._read_ms >= end_ms + self._tail_ms

    def _now_ms(self) -> int:
        """Time of the port since it began."""
        return self._read_ms if self._pace is None else int((self._clock() - self._start_ms) * self._pace)

    def _pass(self) -> None:
        """Let the loudspeaker play up to now."""
        while not self._closed and (step_ms := min(self._now_ms() - self._passed_ms, 1000)) > 0:
            size = step_ms * BYTES_PER_MS
            played = self._playout.pull(step_ms * SAMPLES_PER_MS).ljust(size, b"\0")
            if self._writer is not None:
                self._writer.write(played)
            if self._both is not None:
                at = self._passed_ms * BYTES_PER_MS
                self._both.write(interleave(self._sound[at : at + size].ljust(size, b"\0"), played))
            self._passed_ms += step_ms
        self._tell()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _until(self, missing_ms: Callable[[], int]) -> None:
        """Until so much time has passed; asked again whenever something moves."""
        while not self._closed and (wait_ms := missing_ms()) > 0:
            moved = self._moved
            try:
                async with asyncio.timeout(None if self._pace is None else wait_ms / self._pace / 1000):
                    await moved.wait()
            except TimeoutError:
                self._pass()


class SplitPort:
    """Reads from one port and writes to another: a file that speaks to a loudspeaker, a microphone that is only filed."""

    def __init__(self, ear: MediaPort, mouth: MediaPort) -> None:
        self._ear = ear
        self._mouth = mouth

    @property
    def spec(self) -> AudioSpec:
        return self._mouth.spec

    async def read(self) -> bytes:
        return await self._ear.read()

    def write(self, pcm: Buffer, track_id: str = "default") -> bool:
        return self._mouth.write(pcm, track_id)

    def clear(self) -> list[Heard]:
        return self._mouth.clear()

    def played_ms(self, track_id: str) -> int:
        return self._mouth.played_ms(track_id)

    async def drained(self) -> None:
        await self._mouth.drained()

    async def close(self) -> None:
        try:
            await self._ear.close()
        finally:
            await self._mouth.close()


def _load(source: str | Path | bytes | None) -> bytes:
    if source is None:
        return b""
    wav: Wav = parse_wav(source if isinstance(source, bytes) else Path(source).read_bytes())
    return resample(wav.mono(), wav.spec.rate_hz, PCM16_24K.rate_hz) if wav.spec.rate_hz != 24_000 else wav.mono()
