"""A conversation in the terminal: a port and a client joined, what is typed, and what is shown."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

from msgspec import Struct

from duologue.audio.pcm16 import Buffer, rms
from duologue.audio.port import Heard, MediaPort
from duologue.audio.spec import AudioSpec
from duologue.cli.screen import Screen
from duologue.cli.transcript import Happening, Line, Transcript
from duologue.client.client import RealtimeClient
from duologue.client.voice import Voice
from duologue.clock import monotonic_ms
from duologue.errors import DuologueError, TransportClosed

_EVENTS = ("error", "usage.updated", "budget.spent", "connection.reconnecting", "connection.restored")
_TICK_S = 0.1
_TYPED_AHEAD = 32
_QUIET_S = 1.5
"""So long nothing may happen before a conversation that was read from a file counts as over."""


class Plan(Struct, frozen=True, kw_only=True):
    """How to talk. `ends`: the conversation is over once the port has no more to say and nothing is under way. `listening`:
    there is a microphone, so that a standard input with nothing in it is no end."""

    push_to_talk: bool = False
    first: tuple[str, ...] = ()
    typing: bool = True
    ends: bool = False
    listening: bool = False


class MeteredPort:
    """A port whose levels can be seen, 0.0 to 1.0."""

    def __init__(self, port: MediaPort) -> None:
        self.microphone = 0.0
        self.loudspeaker = 0.0
        self.over = asyncio.Event()
        self._port = port

    @property
    def spec(self) -> AudioSpec:
        return self._port.spec

    async def read(self) -> bytes:
        sound = await self._port.read()
        self.microphone = rms(sound)
        if not sound:
            self.over.set()
        return sound

    def write(self, pcm: Buffer, track_id: str = "default") -> bool:
        self.loudspeaker = max(self.loudspeaker, rms(pcm))
        return self._port.write(pcm, track_id)

    def clear(self) -> list[Heard]:
        self.loudspeaker = 0.0
        return self._port.clear()

    def played_ms(self, track_id: str) -> int:
        return self._port.played_ms(track_id)

    async def drained(self) -> None:
        await self._port.drained()
        self.loudspeaker = 0.0

    async def close(self) -> None:
        await self._port.close()


class Talk:
    """One conversation, shown while it goes on."""

    def __init__(self, client: RealtimeClient, port: MediaPort, screen: Screen, plan: Plan) -> None:
        self.transcript = Transcript()
        self._client = client
        self._port = MeteredPort(port)
        self._screen = screen
        self._plan = plan
        self._voice = Voice(client, self._port)
        self._voice.muted = plan.push_to_talk
        self._moved_ms = monotonic_ms()
        self._typed_out = False
        self._over = asyncio.Event()
        for name in _EVENTS:
            client.on(name, self._happened)
        client.on("close", self._closed)

    async def run(self) -> None:
        """Until the connection ends, the file has been answered, or the task is cancelled. Raises TransportClosed where the
        server ended it."""
        ending = asyncio.create_task(self._over.wait(), name="talk: over")
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._listen(), name="talk: listen"),
                group.create_task(self._follow(), name="talk: follow"),
                group.create_task(self._tick(), name="talk: screen"),
            ]
            if self._plan.typing:
                tasks.append(group.create_task(self._type(), name="talk: keyboard"))
            try:
                await ending
            finally:
                ending.cancel()
                for task in tasks:
                    task.cancel()
        self._voice.close()

    async def _listen(self) -> None:
        try:
            for text in self._plan.first:
                await self._say(text)
            if self._plan.push_to_talk and self._plan.ends:
                await self._key()
            await self._voice.run()
            if not self._voice.muted and self._plan.push_to_talk:
                await self._key()
        except TransportClosed:
            self._over.set()

    async def _follow(self) -> None:
        async for event in self._client:
            self._happened(event)
        self._over.set()

    def _happened(self, happened: Happening) -> None:
        self._moved_ms = monotonic_ms()
        for line in self.transcript.apply(happened, self._moved_ms):
            self._screen.line(line)

    def _closed(self, why: TransportClosed) -> None:
        if why.by != "us":
            self._screen.line(Line(who="note", text=str(why)))
        self._over.set()

    async def _tick(self) -> None:
        while not self._finished():
            await asyncio.sleep(_TICK_S)
            self._screen.status(self.transcript, self._port.microphone, self._port.loudspeaker, muted=self._voice.muted)
            self._port.loudspeaker *= 0.8
        await self._port.drained()
        self._over.set()

    def _finished(self) -> bool:
        """Whether nothing more comes from a file, of sound or of text, and nothing more is said about it."""
        heard_out = self._plan.ends and self._port.over.is_set()
        if self.transcript.busy or not (heard_out or self._typed_out):
            return False
        return monotonic_ms() - self._moved_ms > 1000 * _QUIET_S

    # --- the keyboard ----------------------------------------------------------------------------------------

    async def _type(self) -> None:
        typed = bool(self._plan.first)
        async for text in lines_of(sys.stdin):
            typed = True
            try:
                await self._typed(text.strip())
            except DuologueError as problem:
                self._screen.line(Line(who="error", text=str(problem)))
        if sys.stdin.isatty():
            self._over.set()  # Ctrl-D
        self._typed_out = typed or not self._plan.listening

    async def _typed(self, text: str) -> None:
        if text:
            await self._say(text)
        elif self._plan.push_to_talk:
            await self._key()
        else:
            await self._voice.interrupt()

    async def _key(self) -> None:
        """Push to talk: the same key begins and ends a turn."""
        if self._voice.muted:
            await self._voice.interrupt()
            self._voice.muted = False
            return
        self._voice.muted = True
        self.transcript.asked(monotonic_ms())
        await self._client.create_response()

    async def _say(self, text: str) -> None:
        self._screen.line(Line(who="you", text=text), typed=True)
        self.transcript.asked(monotonic_ms())
        await self._client.send_user_message_content(text)


async def lines_of(stream: Iterable[str]) -> AsyncIterator[str]:
    """Lines as somebody types them. The thread that reads cannot be interrupted; it dies with the process."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue(_TYPED_AHEAD)

    def read() -> None:
        with suppress(RuntimeError, ValueError):  # the loop or the stream was closed meanwhile
            for text in stream:
                asyncio.run_coroutine_threadsafe(queue.put(text), loop).result()
            asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

    threading.Thread(target=read, name="keyboard", daemon=True).start()
    while (text := await queue.get()) is not None:
        yield text
