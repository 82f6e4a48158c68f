"""The calls that a server holds: each is answered once, lives as a task of its own, and ends with its session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from duologue.errors import MissingExtra, ProtocolError, TransportClosed
from duologue.ids import random_id
from duologue.protocol.codec import encode, parse
from duologue.protocol.server_events import Error, ErrorDetails
from duologue.server.admission import Admitted, Dialect
from duologue.server.call import Call
from duologue.server.runner import RealtimeServer
from duologue.transports.base import EventTransport
from duologue.transports.call_address import IceServer

SOUND_FIELDS = ("audio",)
"""Where an event about an item holds its sound."""


class Calls:
    """Answers calls over WebRTC. `ice_servers` help callers from outside to find this machine."""

    def __init__(self, server: RealtimeServer, ice_servers: Sequence[IceServer] = ()) -> None:
        self._server = server
        self._ice_servers = ice_servers
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(
        self, sdp: str, admitted: Admitted, dialect: Dialect, *, near: bool, call_id: str | None = None
    ) -> tuple[str, str]:
        """Take a call; gives its id and the SDP to answer with. `near`: the caller is on this machine.

        Raises ProtocolError where the offer cannot be used, and MissingExtra.
        """
        try:
            from duologue.transports.rtc_peer import Peer
        except ImportError as error:
            raise MissingExtra(error.name or "aiortc", "webrtc") from None
        peer = Peer(ice_servers=self._ice_servers, loopback=near)
        try:
            answer = await peer.answer(sdp)
        except BaseException:
            await peer.close()
            raise
        call = Call(id=call_id or random_id("rtc"), port=peer.port)
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        work = self._hold(_Fitting(peer), call, admitted, dialect, begun)
        task = asyncio.create_task(work, name=f"call-{call.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        asyncio.get_running_loop().call_soon(_settle, begun)
        await begun  # the session is there before the caller learns its id
        return call.id, answer

    async def _hold(
        self,
        transport: EventTransport,
        call: Call,
        admitted: Admitted,
        dialect: Dialect,
        begun: asyncio.Future[None],
    ) -> None:
        try:
            await self._server.serve(
                transport,
                model=admitted.model,
                intent=admitted.intent,
                dialect=dialect,
                initial=admitted.initial,
                call=call,
            )
        except ProtocolError as refused:  # said before anything else happens
            begun.set_exception(refused)
        finally:
            await asyncio.shield(transport.close())

    async def close(self) -> None:
        """End what still goes on."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _settle(begun: asyncio.Future[None]) -> None:
    if not begun.done():
        begun.set_result(None)


class _Fitting:
    """A data channel whose messages are bounded: an event too large for it goes without its sound, or as an error."""

    def __init__(self, transport: EventTransport) -> None:
        self._transport = transport

    @property
    def closed(self) -> TransportClosed | None:
        return self._transport.closed

    async def send(self, frame: bytes) -> None:
        try:
            await self._transport.send(frame)
        except ProtocolError:
            try:
                await self._transport.send(msgspec.json.encode(_without_sound(event := parse(frame))))
            except ProtocolError as too_large:
                message = f"'{event.get('type')}' was left out: {too_large.message}"
                details = ErrorDetails(type="server_error", code=too_large.code, message=message)
                await self._transport.send(encode(Error(event_id=random_id("event"), error=details)))

    def __aiter__(self) -> AsyncIterator[bytes | str]:
        return self._transport.__aiter__()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._transport.close(code, reason)


def _without_sound(event: dict[str, Any]) -> dict[str, Any]:
    """An event without the sound of its item's parts."""
    item = event.get("item")
    if not isinstance(item, dict) or not isinstance(item.get("content"), list):
        return event
    content = [{k: v for k, v in part.items() if k not in SOUND_FIELDS} for part in item["content"]]
    return {**event, "item": {**item, "content": content}}
