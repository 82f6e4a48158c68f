"""Realtime events over a WebSocket at a fraction of the cost, client side. The one module of the client that knows `picows`.

`websockets` judges the handshake (see `upgrade`), then `picows` takes the socket over. It hands out single frames; what
RFC 6455 asks for beyond that is done here: messages in several frames, reserved bits, close codes, an end within a bound,
and a look after a silent peer. `websocket.connect` picks this module where it can.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from websockets.client import ClientProtocol
from websockets.http11 import USER_AGENT
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from duologue.errors import MissingExtra, TransportClosed
from duologue.transports.base import BinaryFrame
from duologue.transports.upgrade import Answer

try:
    import picows
    from picows.picows import WSProtocol  # type: ignore[attr-defined]
except ImportError:
    raise MissingExtra("picows", "fast") from None

PING_S = 20.0
CLOSE_S = 2.0
"""How long a peer may take to answer a close before its connection is cut."""
_WAITING = 64
"""Frames that may wait for a slow reader before nothing more is read from the socket."""
_READ_BYTES = 256 * 1024
_NO_STATUS = 1005
_BY_PICOWS = ("upgrade", "connection", "sec-websocket-key", "sec-websocket-version")
_TEXT, _BINARY, _CONTINUATION = picows.WSMsgType.TEXT, picows.WSMsgType.BINARY, picows.WSMsgType.CONTINUATION
_CLOSE, _PONG = picows.WSMsgType.CLOSE, picows.WSMsgType.PONG
# `picows` would name every fault of a peer as an error; how a connection ended is told by `closed`. An adapter, because a
# plain logger gets a child for each connection.
_silent = logging.LoggerAdapter(logging.Logger(__name__, level=logging.CRITICAL + 1), {})


class FastWebSocketTransport(picows.WSListener):
    """An open WebSocket as a DirectTransport. It is made by `open_fast`; the methods `on_…` are for `picows`."""

    def __init__(self) -> None:
        self._socket: Any = None
        self._closed: TransportClosed | None = None
        self._frames: deque[bytes] = deque()
        self._take: Callable[[bytes], None] | None = None
        self._parts: bytearray | None = None
        self._parts_kind: type[bytes] = bytes
        self._paused = False
        self._unanswered = False
        self._timer: asyncio.TimerHandle | None = None
        self._moved = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._over = asyncio.Event()

    @property
    def closed(self) -> TransportClosed | None:
        return self._closed

    async def send(self, frame: bytes) -> None:
        if self._closed is None:
            self._socket.send(_TEXT, frame)
            if self._room.is_set():
                return
            await self._room.wait()
        if self._closed is not None:
            raise self._closed.again()

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        frames = self._frames
        while True:
            while frames:
                yield frames.popleft()
            self._resume()
            if self._over.is_set():
                await self._gone()
                return
            self._moved.clear()
            await self._moved.wait()

    async def deliver(self, take: Callable[[bytes | str], None]) -> None:
        frames = self._frames
        while frames:
            take(frames.popleft())
        self._take = take
        try:
            self._resume()
            await self._gone()
        finally:
            self._take = None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed is None:
            self._end(TransportClosed(code, reason, by="us"), code, reason)
        self._resume()  # the answer has to be read
        await self._gone()

    def on_ws_connected(self, transport: Any) -> None:
        """The handshake is done."""
        self._socket = transport
        self._timer = asyncio.get_running_loop().call_later(PING_S, self._look_after)

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """A frame came; pings are answered by `picows`."""
        kind = frame.msg_type
        if kind is _TEXT and frame.fin and self._parts is None and not (frame.rsv1 or frame.rsv2 or frame.rsv3):
            if (take := self._take) is not None:
                take(frame.get_payload_as_bytes())
            else:
                self._keep(frame.get_payload_as_bytes())
        elif kind is _CLOSE:
            self._closed_by_peer(frame.get_payload_as_bytes())
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._break("reserved bits")
        elif kind is _PONG:
            self._unanswered = False
        elif kind is _CONTINUATION:
            self._continued(frame)
        elif self._parts is not None:
            self._break("a message began inside another one")
        else:
            self._parts = bytearray()
            self._parts_kind = BinaryFrame if kind is _BINARY else bytes
            self._continued(frame)

    def on_ws_disconnected(self, transport: Any) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._closed = self._closed or TransportClosed()
        self._over.set()
        self._moved.set()
        self._room.set()

    def pause_writing(self) -> None:
        """The peer reads too slowly."""
        self._room.clear()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._room.set()

    def _keep(self, frame: bytes) -> None:
        frames = self._frames
        if len(frames) >= _WAITING:
            if self._closed is not None:
                return  # nobody reads any more
            if not self._paused:
                self._paused = True
                self._socket.underlying_transport.pause_reading()
        frames.append(frame)
        self._moved.set()

    def _resume(self) -> None:
        if self._paused:
            self._paused = self._unanswered = False
            self._socket.underlying_transport.resume_reading()

    def _continued(self, frame: Any) -> None:
        if self._parts is None:
            self._break("a continuation of nothing")
            return
        self._parts += frame.get_payload_as_memoryview()
        if frame.fin:
            whole, self._parts = self._parts_kind(self._parts), None
            (self._take or self._keep)(whole)

    async def _gone(self) -> None:
        await self._over.wait()
        # `picows` keeps what the peer did wrong as an exception; asyncio complains of one that nobody has looked at.
        with suppress(picows.WSError):
            await self._socket.wait_disconnected()

    def _closed_by_peer(self, payload: bytes) -> None:
        if self._closed is None:
            code = int.from_bytes(payload[:2]) if payload else _NO_STATUS
            reason = payload[2:].decode(errors="replace")
            self._end(TransportClosed(code, reason), code, reason)
        self._socket.disconnect()

    def _break(self, why: str) -> None:
        """The peer has broken a rule of WebSockets."""
        if self._closed is None:
            self._end(TransportClosed(), 1002, why)

    def _look_after(self) -> None:
        if self._unanswered and not self._paused:
            self._end(TransportClosed(), 1011, "no answer to a ping")
            return
        if not self._paused:
            self._unanswered = True
            self._socket.send_ping(b"")
        self._timer = asyncio.get_running_loop().call_later(PING_S, self._look_after)

    def _end(self, why: TransportClosed, code: int, reason: str) -> None:
        """Say goodbye; whatever the peer does, the connection is over soon."""
        self._closed = why
        if code == _NO_STATUS:
            self._socket.send(_CLOSE, b"")
        else:
            # A close frame carries at most 123 bytes of reason (RFC 6455, 5.5.1).
            self._socket.send_close(code, reason.encode()[:123].decode(errors="ignore"))
        self._room.set()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(CLOSE_S, self._socket.disconnect, False)


class _Frames(WSProtocol):  # type: ignore[misc]
    """Reads a bounded piece at a time: the buffer of `picows` would grow with all that waits in the kernel."""

    def get_buffer(self, hint: int) -> memoryview:
        room: memoryview = super().get_buffer(hint)
        return room[:_READ_BYTES]


async def open_fast(
    url: str, *, headers: Mapping[str, str], subprotocols: Sequence[str], timeout_s: float, log: logging.Logger
) -> FastWebSocketTransport:
    """Open a WebSocket, without a proxy. Raises what `websockets` raises, OSError and TimeoutError.

    Cancelling it closes what was half open.
    """
    uri = parse_uri(url)
    wanted = [Subprotocol(name) for name in subprotocols]
    handshake = ClientProtocol(uri, subprotocols=wanted or None, logger=log)
    asked = handshake.connect().headers
    asked.update(headers)
    asked.setdefault("User-Agent", USER_AGENT)
    extra = [(name, value) for name, value in asked.raw_items() if name.lower() not in _BY_PICOWS]
    socket = FastWebSocketTransport()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        carrier, answer = await loop.create_connection(
            lambda: Answer(handshake), uri.host, uri.port, ssl=True if uri.secure else None
        )
        try:
            frames = _Frames(
                uri.host, uri.resource_name, True, lambda *_: socket, _silent, True, None, False, 1, 1,
                picows.WSAutoPingStrategy.PING_WHEN_IDLE, True, sys.maxsize, extra, 16 * 1024,
            )  # fmt: skip
            answer.ask(carrier, frames)
            await answer.done
        except BaseException:
            carrier.abort()
            raise
    return socket
