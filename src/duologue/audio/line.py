"""One sound stream that outlives its device: opened in a thread, watched, and opened again elsewhere when it falls silent.

PortAudio calls from a thread of its own; `SoundLine` lets no exception escape there and tells its loop what happened.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from duologue.audio import devices, pcm16
from duologue.audio.devices import Device, Kind
from duologue.errors import SoundDeviceError

BLOCK_MS = 20
LATENCY_S = 0.08
"""Asked of the device. Less, and a busy machine cannot keep the callback supplied."""
SILENT_S = 1.5
"""A stream that has not called for so long has lost its device, whatever it says of itself."""
RETRY_S = 1.0


class DeviceEvent(Struct, frozen=True, kw_only=True):
    """A device went away ("lost"), or the line goes on with `device` ("back")."""

    event: Literal["lost", "back"]
    kind: Kind
    device: str
    reason: str = ""


Exchange = Callable[[bytes, int], bytes]
"""Called in PortAudio's thread with (captured PCM16 mono, frames); returns `frames` of PCM16 mono, ignored for input."""


class SoundLine:
    """An open microphone or loudspeaker: PCM16 mono at `rate_hz`, or at `device_hz` where the device refuses that rate.

    `on_rate(device_hz)` is called before each (re)opening; `on_event` in the loop when the device is lost or replaced.
    """

    def __init__(
        self,
        kind: Kind,
        rate_hz: int,
        exchange: Exchange,
        on_rate: Callable[[int], None],
        on_event: Callable[[DeviceEvent], None],
    ) -> None:
        self.kind = kind
        self.device: Device | None = None
        self.latency_s = 0.0
        self.xruns = 0
        self._rate_hz = rate_hz
        self._exchange = exchange
        self._on_rate = on_rate
        self._on_event = on_event
        self._stream: Any = None
        self._wanted_open = False
        self._channels = 1
        self._calls = 0
        self._failure = ""
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def open_now(self) -> bool:
        """False before `open`, after `close`, and while a lost device has no successor yet."""
        return self._stream is not None

    async def open(self, device_id: str | None = None) -> None:
        """Open a device by id or name, None for the default. Raises SoundDeviceError and MissingExtra; not to be cancelled
        by callers that go on using the line: `close` it then.
        """
        self._loop = asyncio.get_running_loop()
        self._wanted_open = True
        await asyncio.to_thread(self._start, device_id)
        self._keeper = asyncio.create_task(self._keep(), name=f"sound {self.kind}")

    async def close(self) -> None:
        """Stop and let go of the device; a second call does nothing."""
        # A cancelled keeper leaves its thread behind: whatever that was about to open must not stay open.
        self._wanted_open = False
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        await asyncio.to_thread(self._stop)

    def _start(self, device_id: str | None) -> None:
        package = devices.portaudio()
        with devices.LOCK:
            if not self._wanted_open:
                raise SoundDeviceError(self.kind, "was closed.")
            # What was plugged in or out since PortAudio last counted; impossible beside another stream.
            devices.renew()
            try:
                index, device = devices.index_of(self.kind, device_id)
                with devices.opening():
                    self._stream = self._open(package, index, device)
            except package.PortAudioError as error:
                remedy = "Is another program using it, or the permission missing?"
                raise SoundDeviceError(
                    self.kind, f"cannot be opened: {error}.", remedy=remedy, retryable=True
                ) from error
            self.device = device
            self.latency_s = float(self._stream.latency)

    def _open(self, package: Any, index: int, device: Device) -> Any:
        """Mono at our own rate if the device can; else at its own rate, or with all its channels."""
        problem: Exception | None = None
        for channels, rate_hz in dict.fromkeys(
            [(1, self._rate_hz), (1, device.rate_hz), (min(2, device.channels), device.rate_hz)]
        ):
            make = package.RawInputStream if self.kind == "input" else package.RawOutputStream
            self._channels, self._failure = channels, ""
            self._on_rate(rate_hz)
            try:
                stream = make(
                    device=index,
                    samplerate=rate_hz,
                    channels=channels,
                    dtype="int16",
                    blocksize=rate_hz * BLOCK_MS // 1000,
                    latency=LATENCY_S,
                    callback=self._captured if self.kind == "input" else self._wanted,
                    finished_callback=self._ended,
                )
                stream.start()
                return stream
            except package.PortAudioError as error:
                problem = error
        raise problem or SoundDeviceError(self.kind, "cannot be opened.")

    def _stop(self) -> None:
        with devices.LOCK:
            stream, self._stream = self._stream, None
            if stream is not None:
                devices.retire(stream)

    def _captured(self, data: Any, frames: int, time: Any, status: Any) -> None:
        self._calls += 1
        self.xruns += bool(status)
        try:
            self._exchange(pcm16.mono(bytes(data), self._channels), frames)
        except Exception as error:
            self._fail(error)

    def _wanted(self, data: Any, frames: int, time: Any, status: Any) -> None:
        self._calls += 1
        self.xruns += bool(status)
        size = 2 * frames
        sound = b""
        try:
            sound = self._exchange(b"", frames)
        except Exception as error:
            self._fail(error)
        sound = sound[:size].ljust(size, b"\0")
        if self._channels > 1:
            frame = memoryview(sound).cast("h")
            sound = b"".join(frame[i : i + 1].tobytes() * self._channels for i in range(frames))
        data[:] = sound

    def _fail(self, error: Exception) -> None:
        self._failure = f"{type(error).__name__}: {error}"
        self._ended()

    def _ended(self) -> None:
        """The stream stopped by itself, or our own code failed; called in PortAudio's thread."""
        if self._loop is not None and not sys.is_finalizing():
            try:
                self._loop.call_soon_threadsafe(self._wake.set)
            except RuntimeError:  # the loop has ended, and with it everyone who could care
                return

    async def _keep(self) -> None:
        """Watch the stream; when its device is gone, go on with the default one as soon as there is one."""
        while True:
            seen = self._calls
            self._wake.clear()
            try:
                async with asyncio.timeout(SILENT_S):
                    await self._wake.wait()
            except TimeoutError:
                if self._calls != seen:
                    continue
            name = self.device.name if self.device else ""
            reason = self._failure or "the device is gone"
            await asyncio.to_thread(self._stop)
            self._on_event(DeviceEvent(event="lost", kind=self.kind, device=name, reason=reason))
            await self._reopen()

    async def _reopen(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._start, None)
            except SoundDeviceError:
                await asyncio.sleep(RETRY_S)
                continue
            # A stream of the old default may open and never call: it is back only when it does.
            seen = self._calls
            for _ in range(round(SILENT_S / 0.05)):
                await asyncio.sleep(0.05)
                if self._calls != seen:
                    device = self.device.name if self.device else ""
                    self._on_event(DeviceEvent(event="back", kind=self.kind, device=device))
                    return
            await asyncio.to_thread(self._stop)
