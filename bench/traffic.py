"""Realtime traffic for a relay: callers and an upstream in one process, so that one clock tells how long an event took.

An event's time of departure waits in a queue of its connection until the event arrives: order and number are kept by
any relay that is worth measuring, and one that loses an event shows by what is left in the queue.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import picows

TICK_S = 0.001
EVENT_S = 0.02
SLOTS = round(EVENT_S / TICK_S)
"""Connections take turns: each sends in one slot of a tick, so that they do not all send at once."""
SOUND_BYTES = (960, 960, 960, 3264, 6400)
"""Bytes of sound in the deltas, in turns: events of 1.3 to 8.7 kB. Callers send 20 ms of PCM16, which is 960 bytes."""
WORDS_EVERY = 10
"""One in so many of the upstream's events is words."""
ANSWER_EVENTS = 200
"""What the upstream of 2024 says in one item: a bit less than ten seconds of sound."""
ITEM = b"item_AbCdEfGhIjKlMnOpQrStU"
READY_SECONDS = 60.0
_TEXT = picows.WSMsgType.TEXT


def _sound(size: int) -> str:
    return b64encode(bytes(n * 7919 & 0xFF for n in range(size))).decode()


def _delta(kind: str, delta: str) -> bytes:
    return (
        f'{{"type":"{kind}","event_id":"event_AbCdEfGhIjKlMnOpQrStU","response_id":"resp_AbCdEfGhIjKlMnOpQrStU",'
        f'"item_id":"{ITEM.decode()}","output_index":0,"content_index":0,"delta":"{delta}"}}'
    ).encode()


CREATED = b'{"type":"session.created","event_id":"event_1","session":{"type":"realtime","id":"sess_1","model":"bench"}}'
APPEND = f'{{"type":"input_audio_buffer.append","audio":"{_sound(960)}"}}'.encode()


def _speech(sound_type: str, words_type: str) -> list[bytes]:
    """Deltas of all sizes, and words between them."""
    words = _delta(words_type, "a few words ")
    sounds = [_delta(sound_type, _sound(size)) for size in SOUND_BYTES]
    return [words if n % WORDS_EVERY == 0 else sounds[n % len(sounds)] for n in range(WORDS_EVERY * len(sounds))]


SPEECH = _speech("response.output_audio.delta", "response.output_audio_transcript.delta")
SPEECH_OF_2024 = _speech("response.audio.delta", "response.audio_transcript.delta")
LARGEST = max(SPEECH, key=len)

Upstream = Callable[[int], Iterator[bytes]]
"""What an upstream says in its n-th session, without end; sessions begin in different places."""


def today(session: int) -> Iterator[bytes]:
    """Deltas by the names of today."""
    return itertools.islice(itertools.cycle(SPEECH), session % len(SPEECH), None)


def of_2024(session: int) -> Iterator[bytes]:
    """Deltas by the names of 2024. Each answer is an item that is announced first, as its clients expect."""
    speech = itertools.islice(itertools.cycle(SPEECH_OF_2024), session % len(SPEECH), None)
    length = ANSWER_EVENTS - session * 37 % ANSWER_EVENTS
    for number in itertools.count():
        item = b"item_AbCdEfGhIjKlMnOp%05d" % number
        yield (
            b'{"type":"conversation.item.created","event_id":"event_1","previous_item_id":null,"item":{"id":"%s",'
            b'"object":"realtime.item","type":"message","status":"in_progress","role":"assistant","content":[]}}' % item
        )
        yield (
            b'{"type":"response.content_part.added","event_id":"event_1","response_id":"resp_1","item_id":"%s",'
            b'"output_index":0,"content_index":0,"part":{"type":"audio","transcript":""}}' % item
        )
        for event in itertools.islice(speech, length):
            yield event.replace(ITEM, item, 1)
        length = ANSWER_EVENTS


class _End(picows.WSListener):
    """One end of a connection. What it sends is timed by the other one."""

    def __init__(self, load: Traffic) -> None:
        self.load = load
        self.transport: Any = None
        self.departed: deque[float] = deque()
        """When the events left that are on their way to this end."""
        self.other: _End | None = None
        self.answers: bytes | None = None
        """What this end lets the other one send for each event that comes: a window that stays full."""

    def on_ws_connected(self, transport: Any) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type is not _TEXT:
            transport.disconnect()
            return
        if not self.departed:
            self.load.opened(self)
            return
        self.load.arrived(time.perf_counter() - self.departed.popleft())
        if self.answers is not None and self.other is not None:
            self.other.send(self.answers)

    def on_ws_disconnected(self, transport: Any) -> None:
        self.load.lost(self)

    def send(self, event: bytes) -> None:
        """Send to the other end."""
        assert self.other is not None
        self.other.departed.append(time.perf_counter())
        self.transport.send(_TEXT, event)


class _UpstreamEnd(_End):
    def __init__(self, load: Traffic) -> None:
        super().__init__(load)
        self.speech = load.upstream(load.sessions)

    def on_ws_connected(self, transport: Any) -> None:
        super().on_ws_connected(transport)
        self.load.joined(self)
        transport.send(_TEXT, CREATED)


class Traffic:
    """Connections through whatever listens at an address; `upstream_port` is where they have to end."""

    def __init__(self, upstream: Upstream = today) -> None:
        self.upstream = upstream
        self.upstream_port = 0
        self.sessions = 0
        """How many there have been."""
        self.delays_s: list[float] = []
        self.late_s: list[float] = []
        """How late this process itself was with what it had to send."""
        self.events = 0
        self.losses = 0
        self._callers: list[_End] = []
        self._joined: asyncio.Queue[_UpstreamEnd] = asyncio.Queue()
        self._opened = asyncio.Event()
        self._closing = False
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Traffic:
        self._server = await picows.ws_create_server(lambda _: _UpstreamEnd(self), "127.0.0.1", 0, backlog=1024)
        self.upstream_port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()

    def joined(self, end: _UpstreamEnd) -> None:
        """The relay has connected."""
        self.sessions += 1
        self._joined.put_nowait(end)

    def opened(self, _: _End) -> None:
        """The caller has heard the first event."""
        self._opened.set()

    def arrived(self, delay_s: float) -> None:
        """An event has come through."""
        self.events += 1
        self.delays_s.append(delay_s)

    def lost(self, _: _End) -> None:
        """A connection has ended."""
        if not self._closing:
            self.losses += 1

    async def connect(self, url: str, count: int) -> None:
        """Have so many connections, one after the other: only so is it known which ends belong together."""
        while len(self._callers) < count:
            self._opened.clear()
            caller = _End(self)
            await picows.ws_connect(lambda caller=caller: caller, url)
            async with asyncio.timeout(READY_SECONDS):
                upstream = await self._joined.get()
                await self._opened.wait()
            caller.other, upstream.other = upstream, caller
            self._callers.append(caller)

    async def disconnect(self) -> None:
        """End all connections."""
        self._closing = True
        callers, self._callers = self._callers, []
        for caller in callers:
            caller.transport.disconnect()
        for caller in callers:
            await caller.transport.wait_disconnected()
            assert caller.other
            await caller.other.transport.wait_disconnected()
        self._closing = False

    def reset(self) -> None:
        """Count from here."""
        self.delays_s, self.late_s, self.events = [], [], 0

    async def pace(self, seconds: float, warm_s: float, begun: asyncio.Event) -> None:
        """Each end sends its 50 events a second. Counting begins after `warm_s`, and `begun` says so."""
        slots = [self._callers[n::SLOTS] for n in range(SLOTS)]
        begin = time.perf_counter()
        warm_ticks, ticks = round(warm_s / TICK_S), round((warm_s + seconds) / TICK_S)
        for tick in range(ticks):
            if tick == warm_ticks:
                self.reset()
                begun.set()
            due = begin + tick * TICK_S
            while (wait := due - time.perf_counter()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(wait)
            self.late_s.append(-wait)
            for caller in slots[tick % SLOTS]:
                caller.send(APPEND)
            for caller in slots[(tick + SLOTS // 2) % SLOTS]:
                assert isinstance(caller.other, _UpstreamEnd)
                caller.other.send(next(caller.other.speech))
            if wait < -TICK_S:
                await asyncio.sleep(0)  # what arrives is not to wait until all that is late has been sent

    async def flood(self, seconds: float, warm_s: float, begun: asyncio.Event, *, down: bool, window: int) -> None:
        """One direction as fast as it goes, with so many events on their way on each connection."""
        event = LARGEST if down else APPEND
        for caller in self._callers:
            assert caller.other
            sender, receiver = (caller.other, caller) if down else (caller, caller.other)
            receiver.answers = event
            for _ in range(window):
                sender.send(event)
        await asyncio.sleep(warm_s)
        self.reset()
        begun.set()
        await asyncio.sleep(seconds)
        for caller in self._callers:
            assert caller.other
            caller.answers = caller.other.answers = None

    async def settle(self, seconds: float) -> int:
        """Wait for what is still on its way. How many events never came."""
        until = time.monotonic() + seconds
        while (missing := self._missing()) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return missing

    def _missing(self) -> int:
        ends = [end for caller in self._callers for end in (caller, caller.other)]
        return sum(len(end.departed) for end in ends if end is not None)
