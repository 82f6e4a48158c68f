"""A Realtime server that means harm: for tests of what a client makes of bad networks and bad peers, on a real socket.

Left alone it speaks the protocol: it keeps items, answers `response.create` with words and sound, calls a tool where the
user says `use NAME`. Each connection may get one fault:

async with HostileServer([Cut(after=7, code=1006), Twist(seed=1)]) as server:
    client = RealtimeClient(server.url)     # the first connection dies after seven events, the second gets a bad peer
    ...
    assert server.sessions[1].items == ["item_1", "item_2"]
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from duologue.clock import unix_s

Event = dict[str, Any]
_SESSION_S = 3600
_WORDS = ("Well, ", "that is ", "a long ", "story.")
_PIECE = bytes(4800)
_UNKNOWN = ("a.type.of.tomorrow", "response.output_smell.delta", "conversation.item.input_audio_transcription.mood")


class Cut(Struct, frozen=True, kw_only=True):
    """The connection ends after so many events of the server: with a close code, or for 1006 without a word."""

    after: int
    code: int = 1006
    reason: str = ""


class Twist(Struct, frozen=True, kw_only=True):
    """Events are doubled, swapped, left out, halved and joined by unknown ones, by chance out of `seed`. `session.created`
    comes first and whole."""

    seed: int
    share: float = 0.3


class SlowReader(Struct, frozen=True, kw_only=True):
    """Between two events that it reads, the server rests."""

    rest_s: float = 0.02


class Expiry(Struct, frozen=True, kw_only=True):
    """The session lasts so long, then it is closed, as a hosted one is after an hour."""

    seconds: float = 3.0


class Refusal(Struct, frozen=True, kw_only=True):
    """The handshake succeeds, then an `error` event tells why there is no session, and a close follows."""

    code: str = "invalid_api_key"
    close: int = 3000


class Silence(Struct, frozen=True, kw_only=True):
    """The connection is made and nothing is ever said."""


Fault = Cut | Twist | SlowReader | Expiry | Refusal | Silence


class HostileSession:
    """What one connection brought: `received` events, ids of the `items` the server knows, sound in `audio`."""

    def __init__(self, number: int, expires_at: int) -> None:
        self.number = number
        self.received: list[Event] = []
        self.items: list[str] = []
        self.texts: dict[str, str] = {}
        self.audio = b""
        self.settings: Event = {
            "type": "realtime",
            "id": f"sess_{number}",
            "model": "hostile",
            "expires_at": expires_at,
        }
        self._news = asyncio.Event()
        self._made = 0
        self._tool = ""

    def greeting(self) -> Event:
        """The first event."""
        return {"type": "session.created", "session": self.settings}

    async def heard(self, type: str) -> Event:
        """The first event of that type, waited for."""
        while True:
            self._news.clear()
            for event in self.received:
                if event.get("type") == type:
                    return event
            await self._news.wait()

    def answers(self, event: Event) -> Iterator[Event]:
        """What a server says to an event of the client."""
        self.received.append(event)
        self._news.set()
        match event:
            case {"type": "session.update", "session": dict() as session}:
                self.settings = {**self.settings, **session}
                yield {"type": "session.updated", "session": self.settings}
            case {"type": "conversation.item.create", "item": dict() as item}:
                yield from self._create(item, event.get("event_id"))
            case {"type": "conversation.item.delete", "item_id": str(item_id)} if item_id in self.items:
                self.items.remove(item_id)
                yield {"type": "conversation.item.deleted", "item_id": item_id}
            case {"type": "conversation.item.truncate"}:
                fields = {name: event.get(name) for name in ("item_id", "content_index", "audio_end_ms")}
                yield {"type": "conversation.item.truncated", **fields}
            case {"type": "input_audio_buffer.append", "audio": str(audio)}:
                self.audio += base64.b64decode(audio)
            case {"type": "input_audio_buffer.commit"}:
                item_id = self._id("item")
                yield {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": self._last}
                content = [{"type": "input_audio", "transcript": None}]
                yield from self._create({"type": "message", "id": item_id, "role": "user", "content": content}, None)
            case {"type": "response.create"}:
                yield from self._respond()
            case {"type": "response.cancel"}:
                yield _error("response_cancel_not_active", event.get("event_id"))
            case _:
                pass

    @property
    def _last(self) -> str | None:
        return self.items[-1] if self.items else None

    def _id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}_{self.number}_{self._made}"

    def _create(self, item: Event, event_id: Any) -> Iterator[Event]:
        item = {"status": "completed", "object": "realtime.item", **item, "id": item.get("id") or self._id("item")}
        if item["id"] in self.items:
            yield _error("item_already_exists", event_id)
            return
        text = " ".join(str(part.get("text", "")) for part in item.get("content", ()))
        self.texts[item["id"]] = text or str(item.get("output", ""))
        if item["type"] == "function_call":
            self._tool = ""
        if item.get("role") == "user" and text.startswith("use "):
            self._tool = text.removeprefix("use ")
        before = self._last
        self.items.append(item["id"])
        for name in ("added", "done"):
            yield {"type": f"conversation.item.{name}", "previous_item_id": before, "item": item}

    def _respond(self) -> Iterator[Event]:
        response: Event = {
            "id": self._id("resp"),
            "object": "realtime.response",
            "conversation_id": "conv_1",
            "output": [],
        }
        yield {"type": "response.created", "response": {**response, "status": "in_progress"}}
        where = {"response_id": response["id"], "output_index": 0}
        yield from self._call(where) if self._tool else self._speak(where)
        usage = {"total_tokens": 30, "input_tokens": 20, "output_tokens": 10}
        yield {"type": "response.done", "response": {**response, "status": "completed", "usage": usage}}

    def _call(self, where: Event) -> Iterator[Event]:
        item: Event = {"id": self._id("item"), "type": "function_call", "name": self._tool, "call_id": self._id("call")}
        self._tool = ""
        yield from self._output(where, {**item, "arguments": "", "status": "in_progress"})
        yield from self._finished(where, {**item, "arguments": "{}", "status": "completed"})

    def _speak(self, where: Event) -> Iterator[Event]:
        item: Event = {"id": self._id("item"), "type": "message", "role": "assistant"}
        yield from self._output(where, {**item, "content": [], "status": "in_progress"})
        part = {**where, "item_id": item["id"], "content_index": 0}
        for words in _WORDS:
            yield {"type": "response.output_audio_transcript.delta", **part, "delta": words}
            yield {"type": "response.output_audio.delta", **part, "delta": base64.b64encode(_PIECE).decode()}
        yield {"type": "response.output_audio.done", **part}
        spoken = "".join(_WORDS)
        yield {"type": "response.output_audio_transcript.done", **part, "transcript": spoken}
        content = [{"type": "output_audio", "transcript": spoken}]
        yield from self._finished(where, {**item, "content": content, "status": "completed"})

    def _output(self, where: Event, item: Event) -> Iterator[Event]:
        yield {"type": "response.output_item.added", **where, "item": item}
        yield {"type": "conversation.item.added", "previous_item_id": self._last, "item": item}
        self.items.append(item["id"])

    def _finished(self, where: Event, item: Event) -> Iterator[Event]:
        before = self.items[-2] if len(self.items) > 1 else None
        yield {"type": "conversation.item.done", "previous_item_id": before, "item": item}
        yield {"type": "response.output_item.done", **where, "item": item}


class HostileServer:
    """`faults[n]` (or None) is what the connection number n suffers; those beyond the list are treated well."""

    def __init__(self, faults: Sequence[Fault | None] = ()) -> None:
        self.sessions: list[HostileSession] = []
        """One for each connection, in order."""
        self.open = 0
        """Connections that are open now."""
        self._faults = list(faults)
        self._server: Server | None = None
        self._empty = asyncio.Event()

    def stop_listening(self) -> None:
        """From now on nobody gets in; who is connected stays."""
        assert self._server is not None, "the server is not running"
        self._server.close(close_connections=False)

    async def left(self) -> None:
        """Wait until nobody is connected."""
        while self.open:
            self._empty.clear()
            await self._empty.wait()

    @property
    def url(self) -> str:
        """Address of the server."""
        assert self._server is not None, "the server is not running"
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/v1/realtime?model=hostile"

    async def __aenter__(self) -> HostileServer:
        self._server = await serve(self._hold, "127.0.0.1", 0, compression=None, max_size=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _hold(self, connection: ServerConnection) -> None:
        number = len(self.sessions)
        fault = self._faults[number] if number < len(self._faults) else None
        seconds = fault.seconds if isinstance(fault, Expiry) else _SESSION_S
        session = HostileSession(number, unix_s() + max(1, int(seconds)))
        self.sessions.append(session)
        self.open += 1
        try:
            async with asyncio.timeout(seconds if isinstance(fault, Expiry) else None):
                await _Mouth(connection, fault).converse(session)
        except TimeoutError:
            await _say_and_close(connection, _error("session_expired", None), 1001, "maximum duration")
        except (ConnectionClosed, _CutOff):
            pass
        finally:
            self.open -= 1
            self._empty.set()


class _CutOff(Exception):
    """The fault has struck."""


class _Mouth:
    """Says a server's events with the faults of one connection."""

    def __init__(self, connection: ServerConnection, fault: Fault | None) -> None:
        self._connection = connection
        self._fault = fault
        self._chance = random.Random(fault.seed if isinstance(fault, Twist) else 0)
        self._said = 0
        self._kept_back: Event | None = None

    async def converse(self, session: HostileSession) -> None:
        fault = self._fault
        if isinstance(fault, Silence):
            await self._connection.wait_closed()
            return
        if isinstance(fault, Refusal):
            reason = f"invalid_request_error.{fault.code}"
            await _say_and_close(self._connection, _error(fault.code, None), fault.close, reason)
            return
        await self._say(session.greeting())
        async for frame in self._connection:
            for event in session.answers(json.loads(frame)):
                await self._say(event)
            if self._kept_back is not None:
                await self._send(self._kept_back)
                self._kept_back = None
            if isinstance(fault, SlowReader):
                await asyncio.sleep(fault.rest_s)

    async def _say(self, event: Event) -> None:
        fault = self._fault
        if isinstance(fault, Cut) and self._said >= fault.after:
            if fault.code == 1006:
                self._connection.transport.abort()
            else:
                await self._connection.close(fault.code, fault.reason)
            raise _CutOff
        if not isinstance(fault, Twist) or not self._said or self._chance.random() > fault.share:
            await self._send(event)
            return
        match self._chance.randrange(5):
            case 0:
                await self._send(event)
                await self._send(event)
            case 1 if self._kept_back is None:
                self._kept_back = event
            case 2:
                await self._connection.send(json.dumps(event)[: self._chance.randrange(1, 40)])
            case 3:
                await self._send({"type": self._chance.choice(_UNKNOWN), "item_id": "item_0", "shape": "unknown"})
                await self._send(event)
            case _:
                pass

    async def _send(self, event: Event) -> None:
        self._said += 1
        await self._connection.send(json.dumps({"event_id": f"event_{self._said}", **event}))
        if self._kept_back is not None and self._kept_back is not event:
            late, self._kept_back = self._kept_back, None
            await self._send(late)


async def _say_and_close(connection: ServerConnection, event: Event, code: int, reason: str) -> None:
    try:
        await connection.send(json.dumps({"event_id": "event_last", **event}))
        await connection.close(code, reason)
    except ConnectionClosed:
        pass


def _error(code: str, event_id: Any) -> Event:
    kind = "invalid_request_error"
    details = {"type": kind, "code": code, "message": f"Refused: {code}.", "param": None, "event_id": event_id}
    return {"type": "error", "error": details}
