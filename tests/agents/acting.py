"""A server of this house whose model and recognizer follow a script, and sessions that talk to it over any transport."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from msgspec import Struct
from rtc import LoudTts
from wire import ToneVad, serving

from duologue.agents.agent import RealtimeAgent
from duologue.agents.events import SessionEvent
from duologue.agents.session import RealtimeSession
from duologue.agents.settings import SessionSettings
from duologue.client.endpoint import ConnectionOptions
from duologue.client.reconnect import ReconnectPolicy
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
)
from duologue.errors import TransportClosed
from duologue.protocol.codec import encode
from duologue.server.runner import Engines, RealtimeServer
from duologue.transports.memory import MemoryTransport, memory_pair

WAIT_S = 10
SPEECH = b"\x01" * (48 * 400)
PAUSE = bytes(48 * 900)


class Use(Struct, frozen=True):
    """The model calls a tool."""

    name: str
    arguments: str = "{}"


class Endless(Struct, frozen=True):
    """The model speaks until it is stopped."""

    words: str = "and so on and on, "


Act = str | Use | Endless


class ScriptLlm:
    """Answers request after request by its script: words, tool calls, or both. What it was asked is in `requests`."""

    name = "script"
    sees_images = True

    def __init__(self, *script: Act | tuple[Act, ...]) -> None:
        self.script = deque(script)
        self.requests: list[LlmRequest] = []

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        self.requests.append(request)
        acts = self.script.popleft() if self.script else "I have nothing more to say."
        index = 0
        for act in acts if isinstance(acts, tuple) else (acts,):
            match act:
                case str():
                    for word in re.findall(r"\s*\S+", act):
                        yield TextDelta(text=word)
                case Use(name=name, arguments=arguments):
                    yield ToolCallDelta(index=index, name=name, arguments=arguments)
                    index += 1
                case Endless(words=words):
                    while True:
                        yield TextDelta(text=words)
                        await asyncio.sleep(0.01)
        yield LlmDone()

    def hints(self, tools: object, prompt: str | None) -> SpeechHints:
        return SpeechHints()


class ScriptStt:
    """Hears one text of its script after the other, whatever is said; None fails."""

    name = "script"

    def __init__(self, *texts: str) -> None:
        self.texts = deque(texts)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def open(self, settings: SttSettings) -> _Utterance:
        return _Utterance(self)


class _Utterance:
    def __init__(self, stt: ScriptStt) -> None:
        self._stt = stt
        self._finished = asyncio.Event()

    def feed(self, audio: bytes) -> None: ...

    def finish(self) -> None:
        self._finished.set()

    async def results(self) -> AsyncIterator[Partial | Transcript]:
        await self._finished.wait()
        yield Transcript(text=self._stt.texts.popleft() if self._stt.texts else "something")


class Scene:
    """One session on stage. `told` holds every event; `sent` and `came` the frames of the wire, sound left out."""

    def __init__(self, session: RealtimeSession, llm: ScriptLlm, kind: str) -> None:
        self.session = session
        self.llm = llm
        self.kind = kind
        self.told: list[SessionEvent] = []
        self.wire: list[tuple[str, dict[str, Any]]] = []
        self._moved = asyncio.Event()
        session.on("*", self._note)
        session.transport.on("client.*", lambda event: self._frame(">>", event))
        session.transport.on("*", lambda event: self._frame("<<", event))

    def _note(self, event: SessionEvent) -> None:
        self.told.append(event)
        self._moved.set()

    def _frame(self, way: str, event: Any) -> None:
        self.wire.append((way, event if isinstance(event, dict) else json.loads(encode(event))))
        self._moved.set()

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [event for way, event in self.wire if way == ">>"]

    def types(self, *kinds: str) -> list[str]:
        """The types of what was told, of these kinds or all, runs of one type folded into one."""
        out: list[str] = []
        for event in self.told:
            if (not kinds or event.type in kinds) and not (out and out[-1] == event.type):
                out.append(event.type)
        return out

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.told if event.type == kind]

    async def until(self, kind: str, count: int = 1, *, where: Callable[[Any], bool] = lambda event: True) -> Any:
        """The `count`th event of that type since the beginning."""
        try:
            async with asyncio.timeout(WAIT_S):
                while len(found := [event for event in self.of(kind) if where(event)]) < count:
                    await self._happened()
        except TimeoutError:
            raise AssertionError(f"no {kind} came; came: {self.types()}") from None
        return found[count - 1]

    async def _happened(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    async def answered(self, count: int = 1) -> str:
        """Wait for the `count`th answer's end; its text."""
        return (await self.until("agent_end", count)).text.strip()

    async def sent_out(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The `count`th client event of that type."""
        async with asyncio.timeout(WAIT_S):
            while len(found := [event for event in self.sent if event["type"] == kind]) < count:
                await self._happened()
        return found[count - 1]

    async def came_in(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The `count`th server event of that type."""
        async with asyncio.timeout(WAIT_S):
            while len(found := [e for way, e in self.wire if way == "<<" and e["type"] == kind]) < count:
                await self._happened()
        return found[count - 1]

    async def drop(self) -> None:
        """The connection breaks as networks break it: without a word."""
        await _drop(self.session)

    async def speaks(self) -> None:
        """The user says something and pauses."""
        if self.session.transport.connection is not None:
            self.session.transport.connection.port.write(SPEECH)  # type: ignore[attr-defined]
            return
        await self.session.send_audio(SPEECH)
        await self.session.send_audio(PAUSE)


async def _drop(session: RealtimeSession) -> None:
    assert session._stage is not None
    transport: Any = session._stage.client.realtime._transport
    if session.link.call is not None:
        # What the watcher says once no packet has come for long enough.
        session.link.call._peer.channel.end(TransportClosed(1006, "no packet from the peer", by="peer"))
    elif isinstance(transport, MemoryTransport):
        assert transport.peer is not None
        await transport.peer.close(1006)
    else:
        socket = transport._socket
        (socket.transport if hasattr(socket, "transport") else socket.underlying_transport).abort()


@asynccontextmanager
async def acting(
    kind: str,
    agent: RealtimeAgent,
    llm: ScriptLlm,
    *,
    hears: tuple[str, ...] = (),
    settings: SessionSettings | None = None,
    config: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Scene]:
    """A connected session over `memory`, `websocket` or `webrtc`."""
    server = RealtimeServer(Engines(vad=ToneVad(), stt=ScriptStt(*hears), llm=llm, tts=LoudTts()))
    quick = ReconnectPolicy(first_delay_ms=1, longest_delay_ms=5)
    config = {"turn_detection": {"type": "server_vad", "silence_duration_ms": 400}, **(config or {})}
    settings = replace(settings or SessionSettings(), reconnect=quick, connection=ConnectionOptions(proxy=""))
    async with AsyncExitStack() as stack:
        transport: Any = kind
        if kind == "memory":
            await stack.enter_async_context(server.running())
            group = await stack.enter_async_context(asyncio.TaskGroup())

            async def transport() -> MemoryTransport:
                near, far = memory_pair()
                group.create_task(server.serve(far, model="script"), name="server")
                return near
        else:
            url = await stack.enter_async_context(serving(server))
            settings = replace(settings, url=f"{url}?model=script")
        session = RealtimeSession(agent, transport, config=config, settings=settings, **options)
        scene = Scene(session, llm, kind)
        async with session:
            yield scene
        assert scene.told[-1].type == "session_ended"
    leftover = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("agent")]
    assert not leftover, leftover
