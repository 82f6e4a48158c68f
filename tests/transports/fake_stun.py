"""A STUN server that tells everybody the same public address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aioice import stun

PUBLIC = "203.0.113.7"


class _Stun(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._socket: Any = None

    def connection_made(self, transport: Any) -> None:
        self._socket = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = stun.parse_message(data)
        answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=request.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = (PUBLIC, 40_000)
        self._socket.sendto(bytes(answer), addr)


@asynccontextmanager
async def stun_server() -> AsyncIterator[str]:
    """Its address, as `stun:host:port`."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(_Stun, local_addr=("127.0.0.1", 0))
    try:
        yield f"stun:127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()
