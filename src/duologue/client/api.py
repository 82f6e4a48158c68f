"""The wire: connect, send events, hear events. No knowledge of conversations."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

import msgspec

from duologue.client.emitter import Emitter
from duologue.client.endpoint import DEFAULT_URL, ConnectionOptions, address, endpoint, is_azure, is_openai
from duologue.client.wirelog import WireLog
from duologue.clock import Clock, monotonic_ms
from duologue.errors import ConnectFailed, DuologueError, NotConnected, ProtocolError, TransportClosed
from duologue.ids import IdSource, random_id
from duologue.protocol.client_events import ClientEvent
from duologue.protocol.codec import UnknownEvent, decode_server_event, encode
from duologue.protocol.server_events import ServerEvent
from duologue.transports.base import DirectTransport, EventTransport
from duologue.transports.beta import BetaTransport
from duologue.transports.dial import open_websocket
from duologue.transports.runtime import check_key
from duologue.transports.tap import tap

ApiKey = str | Callable[[], str | Awaitable[str]]
"""A key, or a function that gives one for each connection (a key that lives a minute); it may be asynchronous."""
Opener = Callable[[], Awaitable[EventTransport]]
"""Opens a connection of its own kind, each time anew. Raises ConnectFailed."""
_log = logging.getLogger(__name__)


def tag_of(event: ServerEvent | ClientEvent | UnknownEvent) -> str:
    """The event's `type` as on the wire."""
    return event.type if isinstance(event, UnknownEvent) else _tag(type(event))


@cache
def _tag(kind: type[ServerEvent | ClientEvent]) -> str:
    return str(kind.__struct_config__.tag)


class RealtimeAPI(Emitter):
    """One connection. Events: `server.<type>`, `server.*`, `client.<type>`, `client.*`, `error`, `close` (TransportClosed).

    `url` is the whole address or its beginning (`https://host/v1`), and may carry `?model=`; `model` adds it. Without
    `api_key` the environment's is used: OPENAI_API_KEY for OpenAI's host, AZURE_OPENAI_API_KEY for Azure's, for no other;
    `api_key=""` uses none. An `EventTransport` that is already open takes the place of the address, for one connection, or
    a function that opens one, for all. `debug` logs every event to the logger `duologue.wire`, without sound and keys.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        connection: ConnectionOptions | None = None,
        transport: EventTransport | Opener | None = None,
        debug: bool = False,
        clock: Clock = monotonic_ms,
        new_id: IdSource = random_id,
    ) -> None:
        super().__init__()
        self.options = connection or ConnectionOptions()
        self.url = address(url or DEFAULT_URL, model, self.options)
        self.model = model
        self.clock = clock
        self.new_id = new_id
        self.closed: TransportClosed | None = None
        self.on_frame: Callable[[ServerEvent | UnknownEvent, bytes | str], None] | None = None
        self.on_end: Callable[[TransportClosed], None] | None = None
        """Like `on_frame` for the owner of the connection: handlers can be cleared, it cannot."""
        self.on_error: Callable[[Any], None] | None = None
        """The same for what an `error` event carries."""
        self._api_key = api_key
        self._opener = transport if callable(transport) else None
        self._given = None if callable(transport) else transport
        self._log = WireLog() if debug else None
        self._transport: EventTransport | None = None
        self._reader: asyncio.Task[None] | None = None
        self._opening: asyncio.Timeout | None = None
        self._ending: asyncio.Lock = asyncio.Lock()
        self._connecting: asyncio.Lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<RealtimeAPI {self._shown} {'connected' if self.is_connected else 'not connected'}>"

    @property
    def is_connected(self) -> bool:
        """Whether events can be sent now."""
        return self._transport is not None and self._transport.closed is None

    @property
    def is_over(self) -> bool:
        """Whether no event will come any more. What came before a close is still being told after it."""
        return self._reader is None or self._reader.done()

    async def ended(self) -> None:
        """Wait until no event will come any more; safe to cancel."""
        if self._reader is not None:
            await asyncio.wait([self._reader])

    def over(self) -> DuologueError:
        """Why nothing can be sent, as an exception to raise."""
        # The transport may know of its end before all that came ahead of it was read.
        closed = self.closed or (self._transport.closed if self._transport is not None else None)
        return closed.again() if closed is not None else NotConnected()

    async def connect(self) -> None:
        """Open the connection; does nothing when it is open. Raises ConnectFailed, also where `disconnect` came first.
        Cancelling it leaves nothing open."""
        async with self._connecting:
            if self.is_connected:
                return
            await self.hang_up()
            transport = self._given
            self._given = None
            if transport is None:
                transport = await self._open()
            for sink in (self.options.sink, self._log):
                if sink is not None:
                    transport = tap(transport, sink, self.clock)
            self.closed = None
            self._transport = transport
            self._reader = asyncio.create_task(self._read(transport), name="realtime reader")

    async def _open(self) -> EventTransport:
        try:
            async with asyncio.timeout(None) as self._opening:
                return await self._dial()
        except TimeoutError:
            raise ConnectFailed(self._shown, "disconnect() was called meanwhile") from None
        finally:
            self._opening = None

    async def _dial(self) -> EventTransport:
        if self._opener is not None:
            return await self._opener()
        where = endpoint(self.url, self.model, await self.key(), self.options)
        if self._log is not None:
            self._log.say(f"connecting to {where.url} ({where.dialect})")
        socket = await open_websocket(
            where.url,
            headers=where.headers,
            subprotocols=where.subprotocols,
            proxy=self.options.proxy,
            timeout_s=self.options.timeout_s,
        )
        return BetaTransport(socket) if where.dialect == "beta" else socket

    @property
    def _shown(self) -> str:
        return self.url.partition("?")[0]

    async def disconnect(self, code: int = 1000, reason: str = "") -> None:
        """End the connection, or a `connect` under way, and wait until it has ended; harmless when there is none."""
        if self._opening is not None:
            self._opening.reschedule(asyncio.get_running_loop().time())
        await self.hang_up(code, reason)
        await self.finish()

    async def hang_up(self, code: int = 1000, reason: str = "") -> None:
        """End the connection, and wait until it has ended; handlers go on with what they do."""
        async with self._ending:
            reader, transport = self._reader, self._transport
            if transport is not None:
                await transport.close(code, reason)
            if reader is not None and reader is not asyncio.current_task():
                await asyncio.wait([reader])
                self._reader = None
            self._transport = None

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

    def report(self, problem: Exception) -> None:
        if self.on_error is not None:
            self.on_error(self.describe(problem))
        super().report(problem)

    async def _read(self, transport: EventTransport) -> None:
        try:
            if isinstance(transport, DirectTransport):
                await transport.deliver(self._take)
            else:
                async for frame in transport:
                    self._take(frame)
        except asyncio.CancelledError:
            # The loop ends, with everyone in it: no drop that a new connection could mend.
            self.closed = TransportClosed(1006, "the event loop ended", by="us")
            raise
        except Exception:
            _log.exception("the transport failed")
            await transport.close(1011, "reader failed")
        finally:
            self.closed = self.closed or transport.closed or TransportClosed()
            if self._log is not None:
                self._log.say(str(self.closed))
            if self.on_end is not None:
                self.on_end(self.closed)
            self.emit("close", self.closed)
            self.fail_waiters(self.closed)

    def _take(self, frame: bytes | str) -> None:
        """One frame came: tell its event. Raises nothing."""
        try:
            event = decode_server_event(frame)
        except ProtocolError as problem:
            _log.warning("%s", problem)
            self.report(problem)
            return
        try:
            if self.on_frame is not None:
                self.on_frame(event, frame)
        except Exception as problem:
            _log.exception("an event could not be handled")
            self.report(problem)
        if self._handlers or self._waiters:
            self.emit(f"server.{tag_of(event)}", event)
            self.emit("server.*", event)

    async def key(self) -> str | None:
        """The key of the next connection, None where there is none. Raises ConfigError for a lasting key in a page, and
        ConnectFailed where the function that gives it fails."""
        key = await self._given_key()
        check_key(key, dangerously_allow=self.options.dangerously_allow_api_key_in_browser)
        return key

    async def _given_key(self) -> str | None:
        given = self._api_key
        if given is None:
            given = os.environ.get("OPENAI_API_KEY") if is_openai(self.url) else None
            return os.environ.get("AZURE_OPENAI_API_KEY") if is_azure(self.url) else given
        if isinstance(given, str):
            return given
        try:
            key = given()
            return await key if inspect.isawaitable(key) else key
        except DuologueError:
            raise
        except Exception as problem:
            reason = f"the function that gives the key failed: {type(problem).__name__}: {problem}"
            raise ConnectFailed(self._shown, reason, retryable=True) from problem
