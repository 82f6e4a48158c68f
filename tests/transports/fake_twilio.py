"""Twilio's end of a media stream on a real socket, in real time: the caller's sound every 20 ms, marks when they are
reached, marks echoed by `clear`, and a network that delays."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from phone_ear import RATE, START, Ear, media
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from duologue.clock import monotonic_ms
from duologue.transports.carriers.twilio import Twilio
from duologue.transports.phone import PhonePort, phone_app

QUIET = b"\xff"


@asynccontextmanager
async def hosted(app: Any) -> AsyncIterator[str]:
    """An ASGI app on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="error", ws="websockets-sansio", lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="hosted app")
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            await serving


class FakeTwilio:
    """One call. `say` queues what the caller says; in between the line carries silence, or nothing where `gaps` is set."""

    def __init__(self, wire: ClientConnection, *, back_ms: int, gaps: bool) -> None:
        self.ear = Ear()
        self.began_ms = 0
        self.started = asyncio.Event()
        self.spoken_until_ms = 0
        self.late_ms = 0
        """How late this machine let the call be at worst: what a test cannot hold against the line."""
        self._wire = wire
        self._back_ms = back_ms
        self._gaps = gaps
        self._say = b""
        self._moved = asyncio.Condition()

    def say(self, sound: bytes) -> None:
        """More of the caller's speech, µ-law."""
        self._say += sound

    @property
    def talking(self) -> bool:
        return bool(self._say)

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait for something about this call; it is looked at every 20 ms of the call."""
        async with self._moved:
            await self._moved.wait_for(what)

    async def send(self, message: dict[str, Any]) -> None:
        await self._wire.send(json.dumps(message))

    async def live(self) -> None:
        """The call, in steps of 20 ms."""
        await self.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self.send(START)
        self.began_ms = monotonic_ms()
        self.started.set()
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(), name="twilio: listen")
            at_ms = 0
            while not listening.done():
                await asyncio.sleep(max(0.0, (self.began_ms + at_ms - monotonic_ms()) / 1000))
                self.late_ms = max(self.late_ms, monotonic_ms() - self.began_ms - at_ms)
                await self._step(at_ms)
                at_ms += 20

    async def _step(self, at_ms: int) -> None:
        frame, self._say = self._say[: 20 * RATE // 1000], self._say[20 * RATE // 1000 :]
        with suppress(ConnectionClosed):
            if frame:
                self.spoken_until_ms = at_ms + 20
            if frame or not self._gaps:
                await self._wire.send(media(at_ms, frame.ljust(20 * RATE // 1000, QUIET)))
            for _ in range(20):
                await self._echo(self.ear.play_ms())
        async with self._moved:
            self._moved.notify_all()

    async def _listen(self) -> None:
        async for frame in self._wire:
            assert isinstance(frame, str)
            await self._echo(self.ear.take(frame))

    async def _echo(self, marks: list[str]) -> None:
        for mark in marks:
            asyncio.get_running_loop().call_later(self._back_ms / 1000, self._mark, mark)

    def _mark(self, mark: str) -> None:
        text = json.dumps({"event": "mark", "sequenceNumber": "9", "streamSid": "MZ1", "mark": {"name": mark}})
        self._late = asyncio.ensure_future(self._send_quietly(text))

    async def _send_quietly(self, text: str) -> None:
        with suppress(ConnectionClosed):
            await self._wire.send(text)


@asynccontextmanager
async def dialled(url: str, *, back_ms: int = 0, gaps: bool = False) -> AsyncIterator[FakeTwilio]:
    """A call to the stream's address; it is hung up at the end."""
    async with connect(url) as wire:
        call = FakeTwilio(wire, back_ms=back_ms, gaps=gaps)
        living = asyncio.create_task(call.live(), name="twilio")
        try:
            yield call
        finally:
            with suppress(ConnectionClosed):
                await call.send({"event": "stop", "streamSid": "MZ1", "stop": {"callSid": "CA1"}})
            await wire.close()
            await asyncio.wait([living])


class Phone:
    """An application behind Twilio: `answer` takes each call; where it fails, so does the story."""

    def __init__(self, answer: Callable[[PhonePort], Awaitable[None]]) -> None:
        self._answer = answer
        self._failed: list[BaseException] = []
        self._calls: list[asyncio.Task[None] | None] = []

    async def __call__(self, call: PhonePort) -> None:
        self._calls.append(asyncio.current_task())
        try:
            await self._answer(call)
        except Exception as failure:
            self._failed.append(failure)
            self._story.cancel()
            raise

    def run(self, story: Callable[[str], Awaitable[None]]) -> None:
        """Run a story with the address that Twilio connects to; it leaves no task behind."""

        async def whole() -> None:
            async with hosted(phone_app(Twilio(), self)) as url:
                self._story = asyncio.create_task(_awaited(story(url)), name="story")
                done, _ = await asyncio.wait([self._story], timeout=30)
                self._story.cancel()
                await asyncio.wait([self._story])
                for call in self._calls:
                    if call is not None and not self._finished():
                        call.cancel()
            if self._failed:
                raise self._failed[0]
            assert done, "the story does not end"
            self._story.result()
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert [task.get_name() for task in left] == []

        asyncio.run(whole())

    def _finished(self) -> bool:
        """Whether the story came to a good end: then its calls do too, by themselves."""
        return not self._story.cancelled() and self._story.exception() is None


async def _awaited(story: Awaitable[None]) -> None:
    await story
