"""The wire: connect, send events, hear events. No knowledge of conversations."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from duologue.client.emitter import Emitter
from duologue.clock import Clock, monotonic_ms
from duologue.errors import ConnectFailed, DuologueError, NotConnected, ProtocolError, TransportClosed
from duologue.ids import IdSource, random_id
from duologue.protocol.client_events import ClientEvent
from duologue.protocol.codec import UnknownEvent, decode_server_event, encode
from duologue.protocol.server_events import ServerEvent
from duologue.transports.base import EventTransport
from duologue.transports.tap import Sink, tap
from duologue.transports.websocket import connect as connect_websocket

DEFAULT_URL = "wss://api.openai.com/v1/realtime"
DEFAULT_MODEL = "gpt-realtime"
_log = logging.getLogger(__name__)


def tag_of(event: ServerEvent | ClientEvent | UnknownEvent) -> str:
    """The event's `type` as on the wire."""
    return event.type if isinstance(event, UnknownEvent) else str(event.__struct_config__.tag)


class RealtimeAPI(Emitter):
    """One connection. Events: `server.<type>`, `server.*`, `client.<type>`, `client.*`, `error`, `close` (TransportClosed).

    `url` may carry `?model=`; `model` adds it. The key of the environment (OPENAI_API_KEY) is used for OpenAI's host only.
    An `EventTransport` that is already open takes the place of the address.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        model: str | None = None,
        headers: Mapping[str, str] | None = None,
        transport: EventTransport | None = None,
        sink: Sink | None = None,
        clock: Clock = monotonic_ms,
        new_id: IdSource = random_id,
    ) -> None:
        super().__init__()
        self.url = _address(url or DEFAULT_URL, model)
        self.clock = clock
        self.new_id = new_id
        self.closed: TransportClosed | None = None
        self.on_frame: Callable[[ServerEvent | UnknownEvent, bytes | str], None] | None = None
        self._api_key = api_key
        self._headers = dict(headers or {})
        self._given = transport
        self._sink = sink
        self._transport: EventTransport | None = None
        self._reader: asyncio.Task[None] | None = None
        self._opening: asyncio.Timeout | None = None
        self._ending: asyncio.Lock = asyncio.Lock()
        self._connecting: asyncio.Lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<RealtimeAPI {self.url.partition('?')[0]} {'connected' if self.is_connected else 'not connected'}>"

    @property
    def is_connected(self) -> bool:
        """Whether events can be sent now."""
        return self._transport is not None and self._transport.closed is None

    @property
    def is_over(self) -> bool:
        """Whether no event will come any more. What came before a close is still being told after it."""
        return self._reader is None or self._reader.done()

    def over(self) -> DuologueError:
        """Why nothing can be sent, as an exception to raise."""
        return self.closed.again() if self.closed else NotConnected()

    async def connect(self) -> None:
        """Open the connection; does nothing when it is open. Raises ConnectFailed, also where `disconnect` came first.
        Cancelling it leaves nothing open."""
        async with self._connecting:
            if self.is_connected:
                return
            await self._end(1000, "")
            transport = self._given
            self._given = None
            if transport is None:
                transport = await self._open()
            if self._sink is not None:
                transport = tap(transport, self._sink, self.clock)
            self.closed = None
            self._transport = transport
            self._reader = asyncio.create_task(self._read(transport), name="realtime reader")

    async def _open(self) -> EventTransport:
        try:
            async with asyncio.timeout(None) as self._opening:
                return await connect_websocket(self.url, api_key=self._key(), headers=self._headers)
        except TimeoutError:
            raise ConnectFailed(self.url.partition("?")[0], "disconnect() was called meanwhile") from None
        finally:
            self._opening = None

    async def disconnect(self, code: int = 1000, reason: str = "") -> None:
        """End the connection, or a `connect` under way, and wait until it has ended; harmless when there is none."""
        if self._opening is not None:
            self._opening.reschedule(asyncio.get_running_loop().time())
        await self._end(code, reason)

    async def _end(self, code: int, reason: str) -> None:
        async with self._ending:
            reader, transport = self._reader, self._transport
            if transport is not None:
                await transport.close(code, reason)
            if reader is not None and reader is not asyncio.current_task():
                await asyncio.wait([reader])
                self._reader = None
            self._transport = None
        await self.finish()

    async def send(self, type: str, data: Mapping[str, Any] | None = None) -> str:
        """Send an event by name, e.g. `send("response.create")`; `data` goes out as it is. Returns its `event_id`.

        Audio in `data` is base64 text. Raises NotConnected, TransportClosed.
        """
        event = {"event_id": self.new_id("event"), **(data or {}), "type": type}
        frame = msgspec.json.encode(event)
        self._announce(type, event)
        await self.send_frame(frame)
        return str(event["event_id"])

    async def send_event(self, event: ClientEvent) -> None:
        """Send a typed event. Raises NotConnected, TransportClosed."""
        self._announce(tag_of(event), event)
        await self.send_frame(encode(event))

    async def send_frame(self, frame: bytes) -> None:
        """Send one event that is JSON already."""
        transport = self._transport
        if transport is None:
            raise NotConnected()
        await transport.send(frame)

    def _announce(self, type: str, event: Any) -> None:
        if self._transport is None:
            raise NotConnected()
        if self._handlers or self._waiters:
            self.emit(f"client.{type}", event)
            self.emit("client.*", event)

    async def _read(self, transport: EventTransport) -> None:
        try:
            async for frame in transport:
                try:
                    event = decode_server_event(frame)
                except ProtocolError as problem:
                    _log.warning("%s", problem)
                    self.emit("error", self.describe(problem))
                    continue
                try:
                    if self.on_frame is not None:
                        self.on_frame(event, frame)
                except Exception as problem:
                    _log.exception("an event could not be handled")
                    self.emit("error", self.describe(problem))
                if self._handlers or self._waiters:
                    self.emit(f"server.{tag_of(event)}", event)
                    self.emit("server.*", event)
        except Exception:
            _log.exception("the transport failed")
            await transport.close(1011, "reader failed")
        finally:
            self.closed = transport.closed or TransportClosed()
            self.fail_waiters(self.closed)
            self.emit("close", self.closed)

    def _key(self) -> str | None:
        if self._api_key is None and _is_openai(self.url):
            return os.environ.get("OPENAI_API_KEY")
        return self._api_key


def _is_openai(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")


def _address(url: str, model: str | None) -> str:
    """The address with a model: the given one, or the default where OpenAI's needs one."""
    parts = urlsplit(url)
    named = any(name in parts.query for name in ("model=", "call_id=", "intent="))
    if model is None and not named and _is_openai(url):
        model = DEFAULT_MODEL
    if model is None or "model=" in parts.query:
        return url
    return f"{url}{'&' if parts.query else '?'}{urlencode({'model': model})}"
