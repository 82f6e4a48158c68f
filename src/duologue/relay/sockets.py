"""WebSockets at speed, both as a server and as a client. The one module that knows `picows`.

`picows` hands out single frames in memory that it uses again. What RFC 6455 asks for beyond that is done here: messages
in several frames, reserved bits, UTF-8, binary frames, close codes, an end within a bound, and a watch over silent peers.
Its logger would name every protocol error of every peer; the relay's one line for each call says what is worth knowing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from duologue.clock import monotonic_s
from duologue.errors import ConnectFailed, MissingExtra
from duologue.relay.lines import (
    NO_STATUS,
    NOWHERE,
    VANISHED,
    Ear,
    Gate,
    Line,
    Refusal,
    Request,
    Welcome,
    hands_on,
    sendable,
    short,
)

try:
    import picows
    from aiofastnet import create_connection  # what `picows` itself connects with
    from picows.picows import WSProtocol  # type: ignore[attr-defined]
except ImportError:
    raise MissingExtra("picows", "relay") from None

CLOSE_SECONDS = 5.0
"""How long a peer may take to answer a close before its connection is cut."""
HANDSHAKE_SECONDS = 10.0
BUFFER_BYTES = 2048
"""What an idle connection reads into; it doubles as soon as what comes fills it."""
LONGEST_KEY = 64
"""More is never a good one, and has to fit in there."""
WAITING_BYTES = 64 * 1024
"""What the system may keep of what came in and was not read. `picows` doubles its buffer whenever one read fills it, and
never gives that back: a burst must not decide how much a connection keeps."""
MOST_PINGS = 1000
"""Frames that carry nothing, between two sweeps; no rate of events is counted for them."""
HIGH_WATER_BYTES = 256 * 1024
"""Bytes that may wait for a slow reader before the other side is made to wait."""
COPIED_BYTES = 8192
"""Longer frames to a client are written by `picows` in two parts, to which a transport may refer until they are sent."""
HEADROOM = 14
UNSAID_BYTES = 2000
"""As much of the body of a refused handshake is kept."""

_TEXT, _BINARY, _CONTINUATION = picows.WSMsgType.TEXT, picows.WSMsgType.BINARY, picows.WSMsgType.CONTINUATION
_CLOSE, _PING, _PONG = picows.WSMsgType.CLOSE, picows.WSMsgType.PING, picows.WSMsgType.PONG
_silent = logging.Logger("duologue.relay.sockets", level=logging.CRITICAL + 1)
# An adapter, because a plain logger gets a child of its own for each connection.
_log = logging.LoggerAdapter(_silent, {})
_faults = logging.getLogger(__name__)

_TCP_INFO = getattr(socket, "TCP_INFO", None)
_ESTABLISHED = 1

Meet = Callable[[Line], Ear]


class Socket(picows.WSListener):
    """A line over one WebSocket."""

    __slots__ = (
        "_closing", "_code", "_ear", "_empty_frames", "_meet", "_most_bytes", "_parts", "_paused", "_reason",
        "_timer", "_transport", "on_over", "quiet_sweeps", "send",
    )  # fmt: skip

    def __init__(self, meet: Meet, most_bytes: int) -> None:
        self._meet: Meet | None = meet
        self._most_bytes = most_bytes
        self._ear: Ear | None = None
        self._transport: Any = None
        self._parts: bytearray | None = None
        self._closing = self._paused = False
        self._code, self._reason = VANISHED, ""
        self.send: Callable[[bytes], object] = NOWHERE.send
        """As in `Line`."""
        self._timer: asyncio.TimerHandle | None = None
        self.on_over: Callable[[Socket], object] | None = None
        """Told once the connection is over, after its ear."""
        self._empty_frames = 0
        self.quiet_sweeps = 0
        """How often `sweep` came by since the peer was last heard of."""

    def pause(self) -> None:
        """As in `Line`."""
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.underlying_transport.pause_reading()

    def resume(self) -> None:
        """As in `Line`."""
        if self._paused:
            self._paused = False
            self.quiet_sweeps = 0
            self._transport.underlying_transport.resume_reading()

    def close(self, code: int, reason: str = "") -> None:
        """As in `Line`."""
        if self._closing:
            return
        self._say_goodbye(code, reason)
        self.resume()  # the answer has to be read
        self._cut_after(CLOSE_SECONDS)

    @property
    def gone(self) -> bool:
        """As in `Line`. Only Linux tells; elsewhere, and where the peer's own system still has something to send, a peer
        that is not read from leaves unseen.
        """
        system = None if self._transport is None else self._transport.underlying_transport.get_extra_info("socket")
        if _TCP_INFO is None or system is None or self._transport.underlying_transport.is_closing():
            return False
        # the first byte of the system's `tcp_info` is the connection's state
        return bool(system.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0] != _ESTABLISHED)

    def abort(self) -> None:
        """Cut the connection at once."""
        if self._transport is not None:
            self._shut()
            self._transport.disconnect(False)

    def sweep(self) -> None:
        """Another while has passed: ask a silent peer for a sign of life, and cut off one that gave none."""
        self._empty_frames = 0
        if self._closing or self._paused:
            return
        self.quiet_sweeps += 1
        if self.quiet_sweeps == 2:
            self._transport.send_ping(b"")
        elif self.quiet_sweeps > 3:
            self.abort()

    def on_ws_connected(self, transport: Any) -> None:
        """Called by `picows`: the handshake is done."""
        self._transport = transport
        underlying = transport.underlying_transport
        underlying.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        underlying.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WAITING_BYTES)
        # To a server every frame is masked, and so copied.
        self.send = partial(transport.send, _TEXT) if transport.is_client_side else partial(_send_down, transport)
        meet, self._meet = self._meet, None
        assert meet is not None
        self._ear = meet(self)

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """Called by `picows` for every frame."""
        try:
            self.quiet_sweeps = 0
            if frame.msg_type is _TEXT and frame.fin and self._parts is None and not self._closing:
                if frame.rsv1 or frame.rsv2 or frame.rsv3:
                    self._break(1002, "reserved bits")
                    return
                whole = frame.get_payload_as_bytes()
                ear: Any = self._ear  # there is one, from the handshake to the end
                # `hands_on`, spelled out: this runs for each 20 ms of each call.
                if ear.passes(whole, monotonic_s() * 1000):
                    ear.passed += 1
                    ear.onto.send(whole)
                else:
                    self._whole(whole)
            else:
                self._other(frame)
        except Exception:
            # a fault of the relay's own: this call ends, and its traceback is in the log
            _faults.exception("a frame could not be handled")
            self._break(1011, "internal error")

    def pause_writing(self) -> None:
        """Called by the transport above its high-water mark."""
        if self._ear is not None and not self._closing:
            self._ear.full()

    def resume_writing(self) -> None:
        """Called by the transport below its low-water mark."""
        if self._ear is not None and not self._closing:
            self._ear.room()

    def on_ws_disconnected(self, transport: Any) -> None:
        """Called by `picows` when the connection is over."""
        handshake = transport.close_handshake
        if not self._closing and handshake is not None and handshake.sent is not None:
            # `picows` itself has closed, over something that no frame may be
            self._code, self._reason = int(handshake.sent.code), str(handshake.sent.reason)
        self._shut()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ear, self._ear = self._ear, None
        self._parts = None
        if ear is not None:
            ear.ended(self._code, self._reason)
        if self.on_over is not None:
            self.on_over(self)

    def _other(self, frame: Any) -> None:
        kind = frame.msg_type
        if kind is _CLOSE:
            self._closed_by_peer(frame.get_payload_as_bytes())
        elif self._closing or self._transport.is_close_frame_sent:
            return
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._break(1002, "reserved bits")
        elif (kind is _PING or kind is _PONG or not frame.payload_size) and self._counted() > MOST_PINGS:
            self._break(1008, "too many frames that carry nothing")
        elif kind is _PING:
            self._transport.send_pong(frame.get_payload_as_bytes())
        elif kind is _PONG:
            return
        elif kind is _CONTINUATION:
            self._continued(frame)
        elif self._parts is not None:
            self._break(1002, "a message began inside another one")
        elif kind is _BINARY:
            # Its other frames, if any, are continuations: an empty text that never ends takes them in.
            if frame.fin and self._ear is not None:
                self._ear.heard_binary()
            elif not frame.fin:
                self._break(1003, "binary messages are not understood")
        else:
            self._parts = bytearray(frame.get_payload_as_memoryview())

    def _counted(self) -> int:
        self._empty_frames += 1
        return self._empty_frames

    def _continued(self, frame: Any) -> None:
        if self._parts is None:
            self._break(1002, "a continuation of nothing")
            return
        self._parts += frame.get_payload_as_memoryview()
        if len(self._parts) > self._most_bytes:
            self._break(1009, f"a message of more than {self._most_bytes} bytes")
        elif frame.fin:
            whole, self._parts = bytes(self._parts), None
            if self._ear is not None and not hands_on(self._ear, whole, monotonic_s() * 1000):
                self._whole(whole)

    def _whole(self, frame: bytes) -> None:
        if not frame.isascii():
            try:
                frame.decode()
            except UnicodeDecodeError:
                self._break(1007, "invalid UTF-8")
                return
        if self._ear is not None:
            self._ear.heard(frame)

    def _closed_by_peer(self, payload: bytes) -> None:
        if not self._closing:
            self._code = int.from_bytes(payload[:2]) if len(payload) >= 2 else NO_STATUS
            self._reason = payload[2:].decode(errors="replace")
            if self._code != NO_STATUS and not sendable(self._code):
                self._code, self._reason = 1002, "an impossible close code"
            self._say_goodbye(self._code, self._reason)
            self._cut_after(CLOSE_SECONDS)
        self._transport.disconnect()

    def _break(self, code: int, reason: str) -> None:
        """The peer has broken a rule of WebSockets."""
        self._code, self._reason = code, reason
        self._say_goodbye(code, reason)
        self._cut_after(CLOSE_SECONDS)

    def _say_goodbye(self, code: int, reason: str) -> None:
        if self._code == VANISHED:
            self._code, self._reason = code, reason
        if code == NO_STATUS:
            self._transport.send(_CLOSE, b"")
        else:
            self._transport.send_close(code if sendable(code) else 1011, short(reason))
        self._shut()

    def _shut(self) -> None:
        self._closing, self.send = True, NOWHERE.send

    def _cut_after(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.disconnect, False)


def _send_down(transport: Any, frame: bytes) -> None:
    """To a client."""
    if len(frame) <= COPIED_BYTES:
        transport.send(_TEXT, frame)
    else:
        transport.send_reuse_external_bytearray(_TEXT, bytearray(HEADROOM) + frame, HEADROOM)


class Upgraded(WSProtocol):  # type: ignore[misc]
    """What an HTTP server hands its socket to once a client asks for a WebSocket: uvicorn's interface to such a class."""

    def __init__(self, gate: Gate, most_bytes: int) -> None:
        super().__init__(
            None, None, False, self._answer, _log, True, HANDSHAKE_SECONDS, False, 20, 20,
            picows.WSAutoPingStrategy.PING_WHEN_IDLE, False, most_bytes, None, BUFFER_BYTES,
        )  # fmt: skip
        self._gate = gate
        self._most_bytes = most_bytes
        self._request: Request | None = None

    def connection_made(self, transport: Any) -> None:
        """Called by the HTTP server with a transport that reads for somebody else until now."""
        transport.pause_reading()
        super().connection_made(transport)

    def data_received(self, head: bytes) -> None:
        """Called by the HTTP server with the head of the request, which it has checked."""
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines if line)
        headers = {name.lower(): value for name, _, value in pairs}
        target = urlsplit(first.split(" ")[1])
        peer = self.transport.underlying_transport.get_extra_info("peername")
        self._request = Request(
            path=target.path, query=target.query, headers=headers, peer=str(peer[0]) if peer else ""
        )
        needed = ("upgrade", "sec-websocket-version", "sec-websocket-key")
        kept = "".join(f"{name}: {headers[name][:LONGEST_KEY]}\r\n" for name in needed if name in headers)
        plain = f"GET / HTTP/1.1\r\nConnection: upgrade\r\n{kept}\r\n".encode("latin-1")
        room = self.get_buffer(-1)
        room[: len(plain)] = plain
        # The HTTP server makes this object the transport's protocol after the call: only then may anything be read.
        asyncio.get_running_loop().call_soon(self._begin, len(plain))

    def _begin(self, size: int) -> None:
        transport = self.transport.underlying_transport
        if transport.is_closing():
            return
        self.buffer_updated(size)
        if not transport.is_closing():
            transport.resume_reading()

    def _answer(self, _: Any) -> Any:
        request, self._request = self._request, None
        assert request is not None
        answer = self._gate(request)
        if isinstance(answer, Welcome):
            chosen = {"Sec-WebSocket-Protocol": answer.subprotocol} if answer.subprotocol else {}
            response = picows.WSUpgradeResponse.create_101_response(chosen)
            return picows.WSUpgradeResponseWithListener(response, Socket(answer.meet, self._most_bytes))
        return picows.WSUpgradeResponseWithListener(_http(answer), None)


def _http(refusal: Refusal) -> Any:
    return picows.WSUpgradeResponse.create_error_response(HTTPStatus(refusal.status), refusal.body, refusal.headers)


def upgrader(gate: Gate, most_bytes: Callable[[], int]) -> Callable[..., Upgraded]:
    """For uvicorn's `ws`: every WebSocket goes through the gate. `most_bytes` bounds messages of new connections."""

    def made(**_: Any) -> Upgraded:
        return Upgraded(gate, most_bytes())

    return made


async def connect(
    url: str, headers: Mapping[str, str], meet: Meet, *, most_bytes: int, tls: ssl.SSLContext | None = None
) -> Socket:
    """Open a WebSocket as a client. Raises ConnectFailed, with the HTTP answer where there was one.

    Cancellation safe: nothing of the connection is left.
    """
    made: list[Socket] = []

    def listener() -> Socket:
        made.append(Socket(meet, most_bytes))
        return made[0]

    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    port = parts.port or (443 if secure else 80)
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # By hand, as `picows.ws_connect` leaves the connection open where it is cancelled during the handshake.
    protocol = WSProtocol(
        parts.netloc, resource, True, listener, _log, True, HANDSHAKE_SECONDS, False, 20, 20,
        picows.WSAutoPingStrategy.PING_WHEN_IDLE, False, most_bytes, list(headers.items()), BUFFER_BYTES,
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    transport: asyncio.Transport | None = None
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            if secure:  # without TLS the loop's own transport costs less, in time and in memory
                transport, _ = await create_connection(loop, lambda: protocol, parts.hostname, port, ssl=tls)
            else:
                transport, _ = await loop.create_connection(lambda: protocol, parts.hostname or "", port)
            await protocol.wait_until_handshake_complete()
    except (picows.WSError, OSError, TimeoutError, ValueError) as problem:
        raise _failed(url, problem) from None
    finally:
        if transport is not None and not made:
            transport.abort()
            with suppress(picows.WSError):
                await protocol.wait_until_handshake_complete()
    if not made:
        raise ConnectFailed(url, "the connection was closed during the handshake", retryable=True)
    return made[0]


def _failed(url: str, problem: Exception) -> ConnectFailed:
    response = getattr(problem, "response", None)
    if response is None:
        return ConnectFailed(url, str(problem) or type(problem).__name__, retryable=True)
    status = int(response.status)
    raw = getattr(problem, "raw_body", b"") or b""
    body = bytes(raw)[:UNSAID_BYTES].decode(errors="replace")
    return ConnectFailed(url, "the handshake was refused", status=status, body=body, retryable=status in (429, 503))
