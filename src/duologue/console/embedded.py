"""The server inside the console's own process: no port, no key, one session at a time over a memory transport."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from duologue.server.runner import RealtimeServer
from duologue.transports.base import EventTransport
from duologue.transports.memory import memory_pair

log = logging.getLogger(__name__)


class Embedded:
    """Starts the engines beside the web server, so that the page is there at once, and serves sessions."""

    def __init__(self, server: RealtimeServer) -> None:
        self._server = server
        self._starting: asyncio.Task[None] | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """From the start of the engines to their end."""
        self._starting = self._start()
        try:
            yield
        finally:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
            for session in tuple(self._sessions):
                session.cancel()
            await asyncio.gather(*self._sessions, return_exceptions=True)
            await self._server.close()

    async def open(self, model: str) -> EventTransport:
        """A connection to a new session; waits for the engines. Raises EngineError, with its remedy, if one cannot start."""
        assert self._starting is not None, "open() belongs inside running()"
        if self._starting.done() and (self._starting.cancelled() or self._starting.exception()):
            self._starting = self._start()  # what was missing may have come by now
        await asyncio.shield(self._starting)
        ours, theirs = memory_pair()
        session = asyncio.create_task(self._hold(theirs, model), name="embedded-session")
        self._sessions.add(session)
        session.add_done_callback(self._sessions.discard)
        return ours

    def _start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._server.start(), name="embedded-server-start")

    async def _hold(self, theirs: EventTransport, model: str) -> None:
        try:
            await self._server.serve(theirs, model=model)
        except Exception:
            log.exception("the embedded server's session ended by a defect")
        finally:
            await theirs.close(1011, "the embedded server's session has ended")
