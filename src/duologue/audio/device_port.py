"""DevicePort: microphone and loudspeaker of this machine as a MediaPort, recorded in stereo if a path is given."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from duologue.audio.files import WavWriter
from duologue.audio.line import DeviceEvent
from duologue.audio.pcm16 import Buffer
from duologue.audio.player import WavStreamPlayer
from duologue.audio.port import Heard
from duologue.audio.recorder import WavRecorder
from duologue.audio.spec import PCM16_24K, AudioSpec
from duologue.audio.track import StereoTrack
from duologue.clock import monotonic_ms

CHUNK_MS = 20
BACKLOG = 10_000 // CHUNK_MS


class DevicePort:
    """Open it with `DevicePort.open`. The microphone is always on; what nobody reads for ten seconds is dropped.

    `record_to` names a WAV file of both sides on one clock: left the user, right what the loudspeaker played.
    """

    def __init__(
        self, *, record_to: str | Path | None = None, on_event: Callable[[DeviceEvent], Any] | None = None
    ) -> None:
        self.recorder = WavRecorder(keep=False, on_event=on_event)
        self.player = WavStreamPlayer(on_event=on_event, tap=self._tapped if record_to is not None else None)
        self._chunks: deque[bytes] = deque(maxlen=BACKLOG)
        self._arrived = asyncio.Event()
        self._closed = False
        self._played: deque[tuple[int, bytes]] = deque(maxlen=BACKLOG)
        self._writer: WavWriter | None = None
        self._stereo = StereoTrack(0)

    @classmethod
    async def open(
        cls,
        *,
        listen: bool = True,
        speak: bool = True,
        microphone: str | None = None,
        loudspeaker: str | None = None,
        record_to: str | Path | None = None,
        on_event: Callable[[DeviceEvent], Any] | None = None,
    ) -> DevicePort:
        """With devices by id or name, None for the default ones. Raises SoundDeviceError, MissingExtra and OSError.

        With `listen` or `speak` False, the one or the other device is left alone: `read` waits, sound queues.
        """
        port = cls(record_to=record_to, on_event=on_event)
        try:
            if speak:
                await port.player.connect(loudspeaker)
            if listen:
                await port.recorder.begin(microphone)
            if record_to is not None:
                port._stereo = StereoTrack(monotonic_ms())
                port._writer = WavWriter(record_to, channels=2)
            if listen:
                await port.recorder.record(port._captured, PCM16_24K.bytes_in(CHUNK_MS))
        except BaseException:
            await port.close()
            raise
        return port

    @property
    def spec(self) -> AudioSpec:
        return PCM16_24K

    async def read(self) -> bytes:
        while not self._chunks and not self._closed:
            self._arrived.clear()
            await self._arrived.wait()
        return b"" if self._closed else self._chunks.popleft()

    def write(self, pcm: Buffer, track_id: str = "default") -> bool:
        return not self._closed and self.player.add_16bit_pcm(pcm, track_id)

    def clear(self) -> list[Heard]:
        return [
            Heard(track_id=cut.track_id, played_ms=_ms(cut.offset), received_ms=_ms(cut.received))
            for cut in self.player.clear()
        ]

    def played_ms(self, track_id: str) -> int:
        return _ms(self.player.played_samples(track_id))

    async def drained(self) -> None:
        await self.player.drained()

    async def close(self) -> None:
        self._closed = True
        self._arrived.set()
        await self.recorder.quit()
        await self.player.close()
        if self._writer is not None:
            self._recorded()
            self._writer.write(self._stereo.finish())
            self._writer.close()
            self._writer = None

    def _captured(self, pcm: bytes) -> None:
        self._chunks.append(pcm)
        self._arrived.set()
        if self._writer is not None:
            self._recorded()
            self._writer.write(self._stereo.user(pcm, monotonic_ms() - CHUNK_MS))

    def _tapped(self, pcm: bytes) -> None:
        """In PortAudio's thread; the sound will be heard a latency later."""
        self._played.append((monotonic_ms() + round(self.player.latency_s * 1000), pcm))

    def _recorded(self) -> None:
        while self._played and self._writer is not None:
            at_ms, pcm = self._played.popleft()
            self._writer.write(self._stereo.assistant(pcm, at_ms))


def _ms(samples: int) -> int:
    return samples * 1000 // PCM16_24K.rate_hz
