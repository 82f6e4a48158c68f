"""A server on a loopback socket and a caller that speaks raw frames, for tests of the whole path."""

from __future__ import annotations

import asyncio
import json
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
import websockets

from duologue.engines.base import (
    LlmDone,
    LlmEvent,
    LlmRequest,
    Partial,
    SpeechHints,
    SttSettings,
    TextDelta,
    ToolCallDelta,
    Transcript,
    VoiceSettings,
)
from duologue.errors import EngineError
from duologue.protocol.items import Message, text_of
from duologue.server.admission import Door
from duologue.server.http import create_app
from duologue.server.limits import MAX_FRAME_BYTES
from duologue.server.runner import Engines, RealtimeServer
from duologue.server.sip import Webhook

FRAME_BYTES = 48 * 32
TIMEOUT_S = 20


class _Idle:
    async def start(self) -> None: ...

    async def close(self) -> None: ...


class ToneVad(_Idle):
    """Hears speech where samples are not zero."""

    name = "tone"
    frame_ms = 32

    def open(self) -> ToneVadStream:
        return ToneVadStream()


class ToneVadStream:
    def __init__(self) -> None:
        self._rest = b""

    def feed(self, audio: bytes) -> list[float]:
        data = self._rest + audio
        whole = len(data) // FRAME_BYTES * FRAME_BYTES
        self._rest = data[whole:]
        frames = [data[i : i + FRAME_BYTES] for i in range(0, whole, FRAME_BYTES)]
        return [1 - frame.count(0) / len(frame) for frame in frames]


class LengthStt(_Idle):
    """Transcribes a sound as its length in words; breaks where the language is `xx`."""

    name = "length"

    def open(self, settings: SttSettings) -> LengthUtterance:
        return LengthUtterance(settings)


class LengthUtterance:
    def __init__(self, settings: SttSettings) -> None:
        self._settings = settings
        self._bytes = 0
        self._finished = asyncio.Event()

    def feed(self, audio: bytes) -> None:
        self._bytes += len(audio)

    def finish(self) -> None:
        self._finished.set()

    async def results(self) -> AsyncIterator[Partial | Transcript]:
        await self._finished.wait()
        if self._settings.language == "xx":
            raise EngineError("length", "no such language", code="unsupported_language")
        yield Transcript(text=f"{self._bytes // 48} milliseconds")


class EchoLlm(_Idle):
    """Answers with what was said; calls its first tool where that was "tool", never ends where it was "forever"."""

    name = "echo"

    def __init__(self) -> None:
        self.requests: list[LlmRequest] = []
        self.stopped = asyncio.Event()

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        self.requests.append(request)
        last = request.items[-1] if request.items else None
        said = text_of(last) if isinstance(last, Message) else "nothing"
        try:
            if said == "forever":
                while True:
                    yield TextDelta(text="again and again, ")
                    await asyncio.sleep(0.01)
            if said == "broken":
                raise RuntimeError("a defect in an engine")
            if said == "tool":
                yield ToolCallDelta(index=0, name=request.tools[0].name)
                yield ToolCallDelta(index=0, arguments='{"city":"Paris"}')
            else:
                yield TextDelta(text="You said ")
                yield TextDelta(text=f"{said}.")
            yield LlmDone()
        finally:
            self.stopped.set()

    def hints(self, tools: object, prompt: str | None) -> SpeechHints:
        return SpeechHints()


class CharacterTts(_Idle):
    """Speaks ten milliseconds a character."""

    name = "character"

    async def speak(self, text: str, settings: VoiceSettings) -> AsyncIterator[bytes]:
        for start in range(0, len(text), 10):
            yield b"\x01" * (480 * len(text[start : start + 10]))


def simple_engines() -> Engines:
    return Engines(vad=ToneVad(), stt=LengthStt(), llm=EchoLlm(), tts=CharacterTts())


class Caller:
    """One raw connection. `until` reads on to an event type and keeps everything that came."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def append(self, ms: int, sound: int = 0) -> None:
        audio = bytes([sound]) * (48 * ms)
        await self.send("input_audio_buffer.append", audio=b64encode(audio).decode())

    async def receive(self) -> dict[str, Any]:
        event = json.loads(await asyncio.wait_for(self.socket.recv(), TIMEOUT_S))
        self.events.append(event)
        return event

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """Everything up to the next event of that type, that one included."""
        start = len(self.events)
        while (await self.receive())["type"] != kind:
            pass
        events = self.events[start:]
        if kind == "response.done":
            assert (await self.receive())["type"] == "rate_limits.updated"
        return events

    async def configure(self, **session: Any) -> dict[str, Any]:
        await self.send("session.update", session={"type": "realtime", **session})
        return (await self.until("session.updated"))[-1]["session"]

    async def say(self, text: str) -> None:
        part = {"type": "input_text", "text": text}
        await self.send("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})


def types(events: list[dict[str, Any]]) -> list[str]:
    """The event types, runs of one delta type folded into one."""
    out: list[str] = []
    for event in events:
        if not (out and out[-1] == event["type"] and event["type"].endswith(".delta")):
            out.append(event["type"])
    return out


@asynccontextmanager
async def serving(
    server: RealtimeServer, door: Door | None = None, *, sip: Webhook | None = None
) -> AsyncIterator[str]:
    """The server on a free loopback port; gives the address of its WebSocket. Without a door anybody gets in."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_app(server, door, sip=sip),
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        lifespan="on",
        log_level="warning",
    )
    host = uvicorn.Server(config)
    config.load()
    host.lifespan = config.lifespan_class(config)
    await host.startup([listener])
    main = asyncio.create_task(host.main_loop(), name="test-server")
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/realtime"
    finally:
        host.should_exit = True
        await main
        await host.shutdown([listener])


@asynccontextmanager
async def calling(url: str, query: str = "model=scripted", **options: Any) -> AsyncIterator[Caller]:
    """A caller that has read `session.created`."""
    async with websockets.connect(f"{url}?{query}", max_size=None, compression=None, **options) as connection:
        caller = Caller(connection)
        await caller.until("session.created")
        yield caller


@asynccontextmanager
async def call() -> AsyncIterator[tuple[Caller, Engines]]:
    """A server with the simple engines, and one caller."""
    engines = simple_engines()
    async with serving(RealtimeServer(engines)) as url, calling(url) as caller:
        yield caller, engines
