"""A telephone call as a MediaPort, and the ASGI app that a carrier's media stream connects to.

async def answer(call: PhonePort) -> None:
    async with RealtimeClient(url) as client:
        await Voice(client, call).run()

app = phone_app(Twilio(), answer)
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Protocol

from duologue.audio.pcm16 import Buffer
from duologue.audio.port import Heard
from duologue.audio.spec import AudioSpec
from duologue.clock import Clock, monotonic_ms
from duologue.errors import TransportClosed
from duologue.transports.carriers.base import CallEnded, CallStarted, Carrier, Dialled, Frame
from duologue.transports.carriers.base import Heard as Spoken
from duologue.transports.phone_line import PhoneLine

_UNREAD_MS = 5_000
_TRACKS = 64
_MARK_LATE_MS = 1_000
_START_S = 10.0
_DIGITS = 64
_log = logging.getLogger(__name__)


class MessagePipe(Protocol):
    """The carrier's WebSocket: whole messages, text or binary."""

    async def receive(self) -> Frame | None:
        """The next message; None once the connection has ended."""

    async def send(self, frame: Frame) -> None:
        """Hand a message to the wire. Raises TransportClosed."""

    async def close(self) -> None:
        """End the connection; a second call does nothing."""


class PhonePort:
    """One call. It lives inside `async with`, which waits for the carrier to say whose call it is.

    `read` and `write` are in the call's own coding (`spec`), as a rule G.711 at 8 kHz: let the session use it too.
    `digit()` waits for keys that the caller presses.
    """

    def __init__(self, carrier: Carrier, pipe: MessagePipe, *, clock: Clock = monotonic_ms) -> None:
        self._line = PhoneLine(carrier)
        self._pipe = pipe
        self._clock = clock
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._digits: deque[str] = deque(maxlen=_DIGITS)
        self._received: dict[str, int] = {}
        self._cleared: set[str] = set()
        self._moved = asyncio.Event()
        self._kicked = asyncio.Event()
        self._outgoing: deque[Frame] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._over = False
        self.ended = ""
        """Why the call is over, in words; empty while it is not."""

    # --- life ------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> PhonePort:
        """Raises TransportClosed where the stream ends, or says nothing for ten seconds, before a call begins."""
        create = asyncio.get_running_loop().create_task
        self._tasks = [create(self._listen(), name="phone: listen"), create(self._speak(), name="phone: speak")]
        try:
            async with asyncio.timeout(_START_S):
                while self._line.call is None and not self._over:
                    await self._happened()
        except TimeoutError:
            self.ended = f"{self._line.carrier.name} did not start the stream within {_START_S:g} s"
        except BaseException:
            await self.close()
            raise
        if self._line.call is None:
            await self.close()
            raise TransportClosed(1006, self.ended)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def call(self) -> CallStarted:
        """Whose call it is, and what the application gave the carrier for it."""
        assert self._line.call is not None, "a call is known inside `async with`"
        return self._line.call

    @property
    def spec(self) -> AudioSpec:
        return self._line.spec

    async def close(self) -> None:
        """End the stream: most carriers then go on with the call's next instruction, or hang up."""
        self._end("closed")
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pipe.close()

    def _end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self._over = True
        self._moved.set()
        self._kicked.set()

    # --- the caller ------------------------------------------------------------------------------------------

    async def read(self) -> bytes:
        while not self._unread and not self._over:
            await self._happened()
        if not self._unread:
            return b""
        chunk = self._unread.popleft()
        self._unread_bytes -= len(chunk)
        return chunk

    async def digit(self) -> str:
        """The next key that the caller presses; empty once the call is over."""
        while not self._digits and not self._over:
            await self._happened()
        return self._digits.popleft() if self._digits else ""

    async def _happened(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    async def _listen(self) -> None:
        while not self._over and (frame := await self._pipe.receive()) is not None:
            match self._line.receive(frame, self._clock()):
                case Spoken(sound=sound):
                    self._hear(sound)
                case Dialled(digit=digit):
                    self._digits.append(digit)
                case CallEnded(reason=reason):
                    self._end(reason)
                case _:
                    pass
            self._moved.set()
            self._kicked.set()
        self._end("the connection ended")

    def _hear(self, sound: bytes) -> None:
        self._unread.append(sound)
        self._unread_bytes += len(sound)
        while self._unread_bytes > self.spec.bytes_in(_UNREAD_MS) and len(self._unread) > 1:
            self._unread_bytes -= len(self._unread.popleft())

    # --- the voice -------------------------------------------------------------------------------------------

    def write(self, pcm: Buffer, track_id: str = "default") -> bool:
        sound = bytes(pcm)
        if len(sound) % self.spec.frame_bytes:
            raise ValueError(
                f"{len(sound)} bytes hold part of a sample: {self.spec.encoding} has {self.spec.frame_bytes}"
            )
        if self._over or track_id in self._cleared:
            return False
        taken = self._line.write(sound, track_id)
        self._received[track_id] = self._received.get(track_id, 0) + self.spec.frames_in(taken)
        self._forget_old()
        self._kicked.set()
        return taken == len(sound)

    def clear(self) -> list[Heard]:
        now_ms = self._clock()
        # Asked before: what was heard afterwards is what was heard until now.
        heard = [
            Heard(track_id=track, played_ms=self._line.played_ms(track, now_ms), received_ms=self._ms(received))
            for track, received in self._received.items()
            if track not in self._cleared
        ]
        self._outgoing.clear()
        self._outgoing.extend(self._line.clear(now_ms))
        self._moved.set()
        self._cleared.update(each.track_id for each in heard)
        self._kicked.set()
        return [each for each in heard if each.unheard_ms > 0]

    def played_ms(self, track_id: str) -> int:
        return self._line.played_ms(track_id, self._clock()) if track_id in self._received else 0

    async def drained(self) -> None:
        # By the carrier's word: an estimate would hang up on the last syllable. A mark may get lost, so not for ever.
        while not self._over and not self._line.confirmed:
            pending_ms = self._line.pending_ms(self._clock())
            try:
                async with asyncio.timeout((pending_ms + _MARK_LATE_MS) / 1000):
                    await self._happened()
            except TimeoutError:
                if pending_ms == 0:
                    return

    def _ms(self, frames: int) -> int:
        return frames * 1000 // self.spec.rate_hz

    def _forget_old(self) -> None:
        while len(self._received) > _TRACKS:
            oldest = next(iter(self._received))
            del self._received[oldest]
            self._cleared.discard(oldest)
            self._line.forget(oldest)

    async def _speak(self) -> None:
        """Sends what is due, and wakes when the next thing is."""
        try:
            while not self._over:
                now_ms = self._clock()
                if silence := self._line.silence(now_ms):
                    self._hear(silence)
                    self._moved.set()
                self._outgoing.extend(self._line.due(now_ms))
                while self._outgoing:
                    await self._pipe.send(self._outgoing.popleft())
                await self._sleep()
        except TransportClosed as end:
            self._end(str(end))

    async def _sleep(self) -> None:
        wake_at_ms = self._line.wake_at_ms
        pause_s = None if wake_at_ms is None else max(0.0, (wake_at_ms - self._clock()) / 1000)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._kicked.wait()
        self._kicked.clear()


Answer = Callable[[PhonePort], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def phone_app(carrier: Carrier, answer: Answer) -> Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]:
    """An ASGI app for the address that the carrier's stream is sent to; mount it in any framework, or run it alone.

    `answer(call)` has the call until it returns; then the stream is closed. What it raises is logged, and ends the call.
    """

    async def app(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            if scope["type"] == "http":
                await send(
                    {"type": "http.response.start", "status": 426, "headers": [(b"content-type", b"text/plain")]}
                )
                await send(
                    {"type": "http.response.body", "body": f"{carrier.name} connects here by WebSocket.".encode()}
                )
            return
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        pipe = _AsgiPipe(receive, send)
        try:
            async with PhonePort(carrier, pipe) as call:
                await answer(call)
        except TransportClosed as end:
            _log.info("%s: no call came about: %s", carrier.name, end)
        except Exception:
            _log.exception("%s: a call ended by a failure of its handler", carrier.name)
        finally:
            await pipe.close()

    return app


class _AsgiPipe:
    """An accepted ASGI WebSocket as a MessagePipe."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._closed = False

    async def receive(self) -> Frame | None:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._closed = True
            return None
        text = message.get("text")
        return text if text is not None else message.get("bytes") or b""

    async def send(self, frame: Frame) -> None:
        if self._closed:
            raise TransportClosed(1006, "the carrier has gone")
        kind = "text" if isinstance(frame, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", kind: frame})
        except (OSError, RuntimeError) as gone:  # servers raise one or the other once the peer has gone
            self._closed = True
            raise TransportClosed(1006, str(gone)) from None

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with suppress(OSError, RuntimeError):
            await self._send({"type": "websocket.close", "code": 1000})
