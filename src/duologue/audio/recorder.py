"""WavRecorder: the machine's microphone, with the life cycle of the JavaScript original.

`begin` opens the microphone ("paused"), `record` starts the flow to a handler ("recording"), `pause` stops it, `end` closes
the microphone ("ended"). Every call may be repeated, and none leaves a state that the next one trips over.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Literal

from duologue.audio import devices, packer
from duologue.audio.devices import Device
from duologue.audio.line import BLOCK_MS, DeviceEvent, SoundLine
from duologue.audio.packer import Decoded, PackedWav, WavPacker
from duologue.audio.resample import Resampler
from duologue.audio.spectrum import MAX_DECIBELS, MIN_DECIBELS, WINDOW, AnalysisType, Frequencies, frequencies_of
from duologue.errors import ConfigError, DuologueError, SoundDeviceError

Status = Literal["ended", "paused", "recording"]
ChunkProcessor = Callable[[bytes], Awaitable[Any] | Any]
DeviceListener = Callable[[list[Device]], Any]

CHUNK_BYTES = 8_192
BACKLOG_MS = 10_000
"""Captured sound that a slow handler may leave waiting; beyond, the oldest is dropped and counted."""
END_S = 5.0
POLL_S = 3.0

log = logging.getLogger(__name__)


class WavRecorder:
    """Records PCM16 mono at `sample_rate`, whatever the microphone's own rate and channels are.

    With `keep`, what is recorded is kept in a temporary file for `save`, so that memory does not grow; without, nothing is.
    When the microphone is unplugged, the recorder goes on with the default one as soon as there is one; `on_event` hears of
    both. `dropped_samples` counts sound that came while the handler was more than ten seconds behind.
    `async with` begins and quits.
    """

    def __init__(
        self,
        sample_rate: int = 24_000,
        *,
        keep: bool = True,
        on_event: Callable[[DeviceEvent], Any] | None = None,
    ) -> None:
        self.sample_rate = sample_rate
        self.dropped_samples = 0
        self._keep = keep
        self._on_event = on_event
        self._status: Status = "ended"
        self._line: SoundLine | None = None
        self._device_id: str | None = None
        self._door = asyncio.Lock()
        self._device_hz = sample_rate
        self._captured: deque[bytes] = deque(maxlen=BACKLOG_MS // BLOCK_MS)
        self._resampler = Resampler(sample_rate, sample_rate)
        self._window = bytearray()
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pump: asyncio.Task[None] | None = None
        self._processor: ChunkProcessor | None = None
        self._chunk_bytes = CHUNK_BYTES
        self._pending = bytearray()
        self._flush = False
        self._delivering = asyncio.Lock()
        self._deliverer: asyncio.Task[Any] | None = None
        self._store: Any = None
        self._stored = 0
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> WavRecorder:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.quit()

    @staticmethod
    def decode(audio: Any, sample_rate: int = 24_000, from_sample_rate: int = -1) -> Decoded:
        """A WAV file, or bare samples taken at `from_sample_rate`, as PCM16 mono: see `duologue.audio.packer.decode`."""
        return packer.decode(audio, sample_rate, from_sample_rate)

    def get_sample_rate(self) -> int:
        """In Hz."""
        return self.sample_rate

    def get_status(self) -> Status:
        """ "ended" (no microphone is open), "paused" or "recording"."""
        return self._status

    @property
    def device(self) -> Device | None:
        """The microphone in use; None while there is none."""
        return self._line.device if self._line and self._line.open_now else None

    async def begin(self, device_id: str | None = None) -> bool:
        """Open a microphone by id or name, None for the default, and forget an earlier recording.

        With a microphone open, the same id changes nothing, and another one is switched to; a recording goes on.
        Raises SoundDeviceError where there is none (the state is "ended" then), and MissingExtra.
        """
        async with self._door:
            if self._line is not None and device_id == self._device_id:
                return True
            if self._line is not None:
                await self._close_line()
            else:
                await self.clear()
            self._loop = asyncio.get_running_loop()
            line = SoundLine("input", self.sample_rate, self._capture, self._set_rate, self._told)
            try:
                await line.open(device_id)
            except BaseException:
                await line.close()
                await self._stop_pump()
                self._status = "ended"
                raise
            self._line, self._device_id = line, device_id
            if self._status == "ended":
                self._status = "paused"
                self._pump = asyncio.create_task(self._run(), name="recorder")
            return True

    async def record(self, chunk_processor: ChunkProcessor | None = None, chunk_size: int = CHUNK_BYTES) -> bool:
        """Start the flow: `chunk_processor(pcm)` gets `chunk_size` bytes of PCM16 mono at a time; it may be async.

        8192 bytes at 24 kHz are 171 ms; 960 are 20 ms, and make a conversation quicker. A processor that raises is logged
        and called again with the next chunk; while it runs, later sound waits. Without one, sound is only kept for `save`.
        Recording already? Then what follows goes to the new processor. Opens the default microphone if `begin` was not
        called. Raises ConfigError for a chunk size that is odd or not positive, or a processor that cannot be called.
        """
        if chunk_size <= 0 or chunk_size % 2:
            raise ConfigError(f"chunk_size counts bytes of 16-bit samples: it is even and positive, not {chunk_size}")
        if chunk_processor is not None and not callable(chunk_processor):
            raise ConfigError("chunk_processor must be a function")
        if self._status == "ended":
            await self.begin()
        self._drain()
        self._processor, self._chunk_bytes = chunk_processor, chunk_size
        self._flush = False
        self._status = "recording"
        return True

    async def pause(self) -> bool:
        """Stop the flow, after the processor got all that was said until now, the last chunk shorter than the others.

        Nothing happens if nothing is recorded. May be called by the processor itself. Safe to cancel.
        """
        if self._status != "recording":
            return True
        self._drain()
        self._status = "paused"
        if self._deliverer is not None and asyncio.current_task() is self._deliverer:
            self._flush = True
            self._wake.set()
        else:
            await self._deliver(flush=True)
        return True

    async def clear(self) -> bool:
        """Forget what was recorded so far; recording goes on."""
        self._captured.clear()
        self._pending.clear()
        self._stored = 0
        if self._store is not None:
            self._store.seek(0)
            self._store.truncate()
        return True

    async def read(self) -> bytes:
        """What was recorded since `begin` or `clear`, PCM16 mono. Raises ConfigError without `keep`."""
        if not self._keep:
            raise ConfigError("this recorder keeps no sound: make it with keep=True")
        self._drain()
        parts, at, end = [], 0, self._stored
        while at < end:
            # In steps, so that an hour of sound does not hold up the loop.
            self._store.seek(at)
            parts.append(self._store.read(min(1 << 20, end - at)))
            at += len(parts[-1])
            await asyncio.sleep(0)
            if not parts[-1] or self._stored < end:
                break
        return b"".join(parts)

    async def save(self, force: bool = False) -> PackedWav:
        """The recording as a WAV file; also after `end`. Raises ConfigError while recording, unless `force`d."""
        if self._status == "recording" and not force:
            raise ConfigError("still recording: pause() first, or save(force=True) what there is so far")
        return WavPacker.pack(self.sample_rate, await self.read())

    async def end(self) -> PackedWav:
        """Close the microphone and return the recording (empty without `keep`). A second call returns the same again."""
        try:
            async with asyncio.timeout(END_S):
                await self.pause()
        except TimeoutError:
            log.warning("the chunk processor did not return; its last chunk is lost")
        async with self._door:
            self._status = "ended"
            await self._close_line()
            await self._stop_pump()
        return await self.save() if self._keep else WavPacker.pack(self.sample_rate, b"")

    async def quit(self) -> bool:
        """`end`, forget the recording and stop listening for devices; the recorder may `begin` again."""
        self.listen_for_device_change(None)
        await self.end()
        await self.clear()
        if self._store is not None:
            self._store.close()
            self._store = None
        return True

    def get_frequencies(
        self,
        analysis_type: AnalysisType = "frequency",
        min_decibels: float = MIN_DECIBELS,
        max_decibels: float = MAX_DECIBELS,
    ) -> Frequencies:
        """The microphone's spectrum of this moment: see `duologue.audio.spectrum.frequencies_of`."""
        if self._line is None:
            raise SoundDeviceError("input", "no microphone is open.", remedy="Call begin() first.")
        self._drain()
        return frequencies_of(bytes(self._window), analysis_type, min_decibels, max_decibels, self.sample_rate)

    async def list_devices(self) -> list[Device]:
        """The microphones as they are now, the default one first."""
        return await devices.list_devices("input")

    def listen_for_device_change(self, callback: DeviceListener | None) -> None:
        """Call `callback(devices)` once soon and whenever microphones came or went; None stops it. Needs a running loop."""
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None
        if callback is not None:
            self._listener = asyncio.create_task(self._listen(callback), name="recorder devices")

    async def _listen(self, callback: DeviceListener) -> None:
        known: list[str] | None = None
        while True:
            try:
                found = await devices.list_devices("input")
                names = sorted(device.id for device in found)
                if names != known:
                    known = names
                    await _call(callback, found)
            except DuologueError as error:
                log.warning("the microphones could not be listed: %s", error)
            await asyncio.sleep(POLL_S)

    def _set_rate(self, device_hz: int) -> None:
        self._device_hz = device_hz
        self._resampler = Resampler(device_hz, self.sample_rate)

    def _capture(self, data: bytes, frames: int) -> bytes:
        """In PortAudio's thread: appending to a deque is all that happens here."""
        if len(self._captured) == self._captured.maxlen:
            self.dropped_samples += frames * self.sample_rate // self._device_hz
        self._captured.append(data)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)
        return b""

    def _drain(self) -> None:
        """Take over what was captured: for the spectrum always, for the processor and the file while recording."""
        while self._captured:
            pcm = self._resampler.feed(self._captured.popleft())
            self._window += pcm
            del self._window[: max(0, len(self._window) - 2 * WINDOW)]
            if self._status == "recording":
                if self._processor is not None:
                    self._pending += pcm
                self._store_away(pcm)

    def _store_away(self, pcm: bytes) -> None:
        if not self._keep:
            return
        try:
            if self._store is None:
                self._store = tempfile.TemporaryFile(prefix="duologue-")  # noqa: SIM115 - lives as long as the recorder
            self._store.seek(self._stored)
            self._store.write(pcm)
            self._stored += len(pcm)
        except OSError as error:
            log.error("the recording is kept no further: %s", error)
            self._keep = False

    async def _run(self) -> None:
        while self._status != "ended":
            await self._wake.wait()
            self._wake.clear()
            # While the processor is busy, sound waits where it is bounded: in the deque.
            self._drain()
            await self._deliver(flush=self._flush)
            self._flush = False

    async def _deliver(self, *, flush: bool) -> None:
        async with self._delivering:
            self._deliverer = asyncio.current_task()
            try:
                while len(self._pending) >= self._chunk_bytes or (self._pending and (flush or self._flush)):
                    chunk = bytes(self._pending[: self._chunk_bytes])
                    del self._pending[: self._chunk_bytes]
                    if self._processor is not None:
                        await _call(self._processor, chunk)
            finally:
                self._deliverer = None

    async def _stop_pump(self) -> None:
        pump, self._pump = self._pump, None
        if pump is not None and pump is not asyncio.current_task():
            pump.cancel()
            await asyncio.wait([pump])

    async def _close_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    def _told(self, event: DeviceEvent) -> None:
        log.info("microphone %s: %s %s", event.event, event.device, event.reason)
        if self._on_event is not None:
            self._on_event(event)


async def _call(function: Callable[[Any], Any], argument: Any) -> None:
    """A handler that fails is told of, and stops nothing."""
    try:
        result = function(argument)
        if inspect.isawaitable(result):
            await result
    except Exception:
        log.exception("%r failed", function)
