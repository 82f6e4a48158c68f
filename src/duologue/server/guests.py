"""Those who follow a session beside the client that opened it: a WebSocket that joined a call by its id."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from duologue.errors import TransportClosed
from duologue.protocol.server_events import ResponseOutputAudioDelta, ServerEvent
from duologue.server.commands import Hangup
from duologue.server.connection import Connection
from duologue.server.inputs import ClientErred, ClientSent

Put = Callable[[ClientSent | ClientErred, int], Awaitable[None]]
FAREWELL_S = 2.0
"""How long the last events may take, and with them the reason why the session is over."""


class Guests:
    """Sends every event but sound to all guests, and never waits for one: who does not read is let go."""

    def __init__(self) -> None:
        self._leaving: dict[Connection, asyncio.Future[TransportClosed]] = {}
        self._over: TransportClosed | None = None

    async def send(self, event: ServerEvent) -> None:
        """Queue one event for everybody."""
        if isinstance(event, ResponseOutputAudioDelta):
            return
        for guest in tuple(self._leaving):
            try:
                await guest.send(event)
            except TransportClosed as slow:
                self._part(guest, slow)

    def dismiss(self, why: TransportClosed) -> None:
        """The session is over, for everybody."""
        self._over = why
        for guest in tuple(self._leaving):
            self._part(guest, why)

    def _part(self, guest: Connection, why: TransportClosed) -> None:
        leaving = self._leaving.pop(guest, None)
        if leaving is not None and not leaving.done():
            leaving.set_result(why)

    async def host(self, guest: Connection, greeting: ServerEvent, put: Put) -> None:
        """Let a guest take part, from `greeting` on, until it leaves or the session ends.

        `guest` must not wait for its peer where its outbox is full. What it sends goes to `put`.
        """
        if self._over is not None:
            await guest.close(self._over.code, self._over.reason)
            return
        leaving = self._leaving[guest] = asyncio.get_running_loop().create_future()
        await guest.send(greeting)
        reader = asyncio.create_task(guest.read(put), name="guest-reader")
        writer = asyncio.create_task(guest.write(), name="guest-writer")
        why = TransportClosed(1001, "going away", by="server")
        try:
            await asyncio.wait({reader, writer, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                why = leaving.result()
                with suppress(TransportClosed):
                    await guest.hang_up(Hangup(code=why.code, reason=why.reason))
                    await asyncio.wait({writer}, timeout=FAREWELL_S)
        finally:
            self._leaving.pop(guest, None)
            reader.cancel()
            writer.cancel()
            await asyncio.wait({reader, writer})
            await asyncio.shield(guest.close(why.code, why.reason))
            for task in (reader, writer):
                if not task.cancelled() and (failure := task.exception()) and not isinstance(failure, TransportClosed):
                    raise failure
