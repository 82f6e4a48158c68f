"""A WebSocket's handshake as `websockets` makes it, for a socket that another protocol then takes over.

Its checks hold, its exceptions are raised, and the body of a refusal is read whole: a protocol for frames alone may well
know what came with the first read only.
"""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.client import ClientProtocol
from websockets.protocol import State

_HEAD_BYTES = 64 * 1024
_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


class Answer(asyncio.Protocol):
    """Reads what the server answers to the handshake, whole, and hands the socket over when it agrees."""

    def __init__(self, handshake: ClientProtocol) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handshake = handshake
        self._head = b""
        self._told = False
        self._frames: Any = None
        self._carrier: Any = None

    def ask(self, carrier: asyncio.Transport, frames: Any) -> None:
        """Send the request, which carries a key of `picows`' own."""
        self._carrier, self._frames = carrier, frames
        frames.connection_made(carrier)
        self._handshake.key = frames.transport.request.headers["Sec-WebSocket-Key"]

    def data_received(self, data: bytes) -> None:
        if self._told:
            self._handshake.receive_data(data)
        else:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                if len(head) > _HEAD_BYTES:
                    self.connection_lost(None)
                return
            self._told = True
            self._handshake.receive_data(head + end)
            if self._handshake.state is State.OPEN:
                self._hand_over(data)
                return
            self._handshake.receive_data(data)
        self._look()

    def connection_lost(self, problem: Exception | None) -> None:
        """Also where the answer has no end."""
        if not self.done.done():
            self._handshake.receive_data(b"" if self._told else self._head)
            self._handshake.receive_eof()
            self._look()

    def _look(self) -> None:
        if self._handshake.handshake_exc is not None and not self.done.done():
            self.done.set_exception(self._handshake.handshake_exc)

    def _hand_over(self, early: bytes) -> None:
        """`early`: what came right after the answer."""
        answer: Any = self._handshake.events_received()[0]
        accepted = answer.headers["Sec-WebSocket-Accept"].encode()
        data = b"%bSec-WebSocket-Accept: %b\r\n\r\n%b" % (_SWITCHED, accepted, early)
        self._carrier.set_protocol(self._frames)
        while data:
            room = self._frames.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size] = data[:size]
            self._frames.buffer_updated(size)
            data = data[size:]
        if not self.done.done():
            self.done.set_result(None)
