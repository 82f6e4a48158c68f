"""A transport to a server of the beta dialect, seen from this side as one that speaks GA."""

from __future__ import annotations

from collections.abc import AsyncIterator

from duologue.errors import ProtocolError, TransportClosed
from duologue.protocol.dialect import BetaServer, client_event_to_beta
from duologue.transports.base import EventTransport


class BetaTransport:
    """Translates every frame on its way; one for each connection."""

    def __init__(self, transport: EventTransport) -> None:
        self._transport = transport
        self._server = BetaServer()

    @property
    def closed(self) -> TransportClosed | None:
        return self._transport.closed

    async def send(self, frame: bytes) -> None:
        beta = client_event_to_beta(frame)
        await self._transport.send(beta.encode() if isinstance(beta, str) else beta)

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        async for frame in self._transport:
            try:
                translated = self._server.to_ga(frame.encode() if isinstance(frame, str) else frame)
            except ProtocolError:
                # Not JSON: whoever reads says what is wrong with it.
                translated = [frame if isinstance(frame, bytes) else frame.encode()]
            for each in translated:
                yield each

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._transport.close(code, reason)
