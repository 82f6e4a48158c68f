"""A hop on the way between two WebRTC peers that loses, delays and reorders datagrams: real sockets on loopback."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

LOOPBACK = "127.0.0.1"
CANDIDATE = re.compile(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host\r\n")


class _Side(asyncio.DatagramProtocol):
    def __init__(self, hop: Hop) -> None:
        self.hop = hop
        self.peer: tuple[str, int] | None = None
        self.far: _Side | None = None
        self.socket: Any = None

    def connection_made(self, transport: Any) -> None:
        self.socket = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr == self.peer and self.far is not None:
            self.hop.carry(data, self.far)


class Hop:
    """Loses `loss` of all datagrams and delays each by up to `jitter_s`, once both descriptions went through it."""

    def __init__(self, *, loss: float = 0.0, jitter_s: float = 0.0, seed: int = 1) -> None:
        self.loss = loss
        self.jitter_s = jitter_s
        self.silent = False
        self.lost = 0
        self.carried = 0
        self._random = random.Random(seed)
        self._caller, self._callee = _Side(self), _Side(self)
        self._caller.far, self._callee.far = self._callee, self._caller

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for side in (self._caller, self._callee):
            await loop.create_datagram_endpoint(lambda side=side: side, local_addr=(LOOPBACK, 0))

    def offer(self, sdp: str) -> str:
        """The caller's offer as the callee is to see it."""
        return self._through(sdp, self._caller, self._callee)

    def answer(self, sdp: str) -> str:
        """The callee's answer as the caller is to see it."""
        return self._through(sdp, self._callee, self._caller)

    def _through(self, sdp: str, own: _Side, shown: _Side) -> str:
        ports = {host: int(port) for host, port in CANDIDATE.findall(sdp)}
        own.peer = (LOOPBACK, ports[LOOPBACK])
        port = shown.socket.get_extra_info("sockname")[1]
        line = f"a=candidate:1 1 udp 2130706431 {LOOPBACK} {port} typ host\r\n"
        return re.sub(r"(a=candidate:[^\r]*\r\n)+", line, sdp)

    def carry(self, data: bytes, to: _Side) -> None:
        if self.silent:
            return
        if self._random.random() < self.loss:
            self.lost += 1
            return
        self.carried += 1
        asyncio.get_running_loop().call_later(self._random.random() * self.jitter_s, self._deliver, data, to)

    def _deliver(self, data: bytes, to: _Side) -> None:
        if to.peer is not None and not to.socket.is_closing():
            to.socket.sendto(data, to.peer)

    def close(self) -> None:
        for side in (self._caller, self._callee):
            side.socket.close()
