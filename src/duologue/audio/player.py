"""WavStreamPlayer: the machine's loudspeaker, with the life cycle of the JavaScript original and exact counts."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from msgspec import Struct

from duologue.audio.devices import Device
from duologue.audio.line import DeviceEvent, SoundLine
from duologue.audio.pcm16 import as_bytes
from duologue.audio.playout import DEFAULT_TRACK, Playout, TrackCount
from duologue.audio.resample import Resampler
from duologue.audio.spectrum import MAX_DECIBELS, MIN_DECIBELS, WINDOW, AnalysisType, Frequencies, frequencies_of

LEAD_MS = 40
LIMIT_S = 600

log = logging.getLogger(__name__)

Tap = Callable[[bytes], None]


class TrackSampleOffset(Struct, frozen=True, kw_only=True):
    """`offset` samples of the track were played; `current_time` is the same in seconds."""

    track_id: str
    offset: int
    current_time: float


class WavStreamPlayer:
    """Plays PCM16 mono at `sample_rate` as it comes in, one track after another, through a device of any rate.

    A sample counts as played when it was handed to the device, which will sound it `latency_s` later even if `interrupt`
    comes in between: what is counted is what is heard. Playing begins when 40 ms are there. At most ten minutes wait.
    `volume` is 1.0 at first; 0.0 is silence, above 1.0 clips. When the loudspeaker is unplugged, playing goes on at the
    same sample on the default one as soon as there is one; `on_event` hears of both. `tap` gets what is played, in
    PortAudio's thread. `async with` connects and closes.
    """

    def __init__(
        self,
        sample_rate: int = 24_000,
        *,
        on_event: Callable[[DeviceEvent], Any] | None = None,
        tap: Tap | None = None,
    ) -> None:
        self.sample_rate = sample_rate
        self.volume = 1.0
        self._on_event = on_event
        self._tap = tap
        self._playout = Playout(limit_samples=LIMIT_S * sample_rate, lead_samples=LEAD_MS * sample_rate // 1000)
        self._lock = threading.Lock()
        self._door = asyncio.Lock()
        self._line: SoundLine | None = None
        self._device_id: str | None = None
        self._resampler = Resampler(sample_rate, sample_rate)
        self._converted = bytearray()
        self._open_end = False
        self._window = bytearray()
        self._empty = asyncio.Event()
        self._empty.set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> WavStreamPlayer:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def device(self) -> Device | None:
        """The loudspeaker in use; None while there is none."""
        return self._line.device if self._line and self._line.open_now else None

    @property
    def latency_s(self) -> float:
        """From being counted as played to being heard, as the device tells it; 0.0 without one."""
        return self._line.latency_s if self._line else 0.0

    @property
    def underruns(self) -> int:
        """How often the queue ran empty: once at the end of a turn, more often where the delivery stalled."""
        return self._playout.underruns

    async def connect(self, device_id: str | None = None) -> bool:
        """Open a loudspeaker by id or name, None for the default; what was queued before begins to play.

        With one open, the same id changes nothing, and another one is switched to at the sample reached.
        Raises SoundDeviceError where there is none, and MissingExtra.
        """
        async with self._door:
            if self._line is not None and device_id == self._device_id:
                return True
            await self._close_line()
            self._loop = asyncio.get_running_loop()
            line = SoundLine("output", self.sample_rate, self._fill, self._set_rate, self._told)
            try:
                await line.open(device_id)
            except BaseException:
                await line.close()
                raise
            self._line, self._device_id = line, device_id
            return True

    def add_16bit_pcm(self, pcm: Any, track_id: str = DEFAULT_TRACK) -> bool:
        """Queue sound of a track; never waits. False where it was dropped: the track was interrupted, or the queue is full.

        Takes bytes, bytearray, memoryview, `array('h')` and int16 ndarrays. Raises ValueError on an odd number of bytes,
        TypeError for other items or a `track_id` that is not a string.
        """
        if not isinstance(track_id, str):
            raise TypeError(f"track_id is a string, not {type(track_id).__name__}")
        data = as_bytes(pcm)
        with self._lock:
            added = self._playout.add(data, track_id)
            if self._playout.waiting:
                self._empty.clear()
        return added

    def get_track_sample_offset(self, interrupt: bool = False) -> TrackSampleOffset | None:
        """The track that is heard, or was heard last, and how far; None where nothing was played since the beginning or an
        interruption. With `interrupt`, the same as `interrupt()`.
        """
        with self._lock:
            track_id = self._playout.current
            count = None if track_id is None else self._playout.count(track_id)
            if interrupt:
                self._cut()
        if count is None:
            return None
        return TrackSampleOffset(
            track_id=count.track_id, offset=count.offset, current_time=count.offset / self.sample_rate
        )

    def interrupt(self) -> TrackSampleOffset | None:
        """Fall silent: drop what is queued of all tracks, and what still comes for them. Returns what was heard."""
        return self.get_track_sample_offset(interrupt=True)

    def clear(self) -> list[TrackCount]:
        """As `interrupt`; returns the counts of every track with unheard sound, first the one that was playing."""
        with self._lock:
            return self._cut()

    def played_samples(self, track_id: str = DEFAULT_TRACK) -> int:
        """How much of a track was played, also after it ended or was interrupted; 0 for one that is not known."""
        with self._lock:
            return self._playout.count(track_id).offset

    async def drained(self) -> None:
        """Wait until all that was added was handed to the device, or dropped. Safe to cancel."""
        await self._empty.wait()

    def get_frequencies(
        self,
        analysis_type: AnalysisType = "frequency",
        min_decibels: float = MIN_DECIBELS,
        max_decibels: float = MAX_DECIBELS,
    ) -> Frequencies:
        """The spectrum of what is being played: see `duologue.audio.spectrum.frequencies_of`."""
        with self._lock:
            window = bytes(self._window)
        return frequencies_of(window, analysis_type, min_decibels, max_decibels, self.sample_rate)

    async def close(self) -> None:
        """Let go of the loudspeaker; what is queued is dropped. A second call does nothing; `connect` opens it again."""
        async with self._door:
            await self._close_line()
            self.interrupt()

    def _cut(self) -> list[TrackCount]:
        self._empty.set()
        return self._playout.cut()

    def _set_rate(self, device_hz: int) -> None:
        with self._lock:
            self._resampler = Resampler(self.sample_rate, device_hz)
            self._converted.clear()
            self._open_end = False

    def _fill(self, _: bytes, frames: int) -> bytes:
        """In PortAudio's thread: the next `frames` at the device's rate, silence where there is nothing."""
        same = self._resampler.to_hz == self.sample_rate
        with self._lock:
            busy = self._playout.waiting > 0
            sound = self._pull(frames) if same else self._pull_converted(frames)
            done = busy and not self._playout.waiting
        if done and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ran_empty)
        if self.volume != 1.0:
            sound = _scaled(sound, self.volume)
        return sound

    def _pull(self, size: int) -> bytes:
        sound = self._playout.pull(size)
        heard = sound.ljust(2 * size, b"\0")
        self._window += heard
        del self._window[: max(0, len(self._window) - 2 * WINDOW)]
        if self._tap is not None and sound:
            self._tap(sound)
        return sound

    def _pull_converted(self, frames: int) -> bytes:
        while len(self._converted) < 2 * frames:
            missing = frames - len(self._converted) // 2
            sound = self._pull(-(-missing * self.sample_rate // self._resampler.to_hz))
            if sound:
                self._converted += self._resampler.feed(sound)
                self._open_end = True
            elif self._open_end:
                # Nothing more for now: what the filter holds back is part of what was counted as played.
                self._converted += self._resampler.flush()
                self._open_end = False
            else:
                break
        ready = bytes(self._converted[: 2 * frames])
        del self._converted[: 2 * frames]
        return ready

    def _ran_empty(self) -> None:
        with self._lock:
            if not self._playout.waiting:
                self._empty.set()

    async def _close_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    def _told(self, event: DeviceEvent) -> None:
        log.info("loudspeaker %s: %s %s", event.event, event.device, event.reason)
        if self._on_event is not None:
            self._on_event(event)


def _scaled(sound: bytes, volume: float) -> bytes:
    import numpy

    values = numpy.frombuffer(sound, dtype="<i2") * numpy.float32(volume)
    return bytes(numpy.rint(values).clip(-32_768, 32_767).astype("<i2").tobytes())
