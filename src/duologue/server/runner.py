"""A server in a process: its engines, the sessions that run, the calls by their ids, and how it comes to an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from msgspec.structs import replace

from duologue.clock import Clock, monotonic_ms, unix_s
from duologue.errors import TransportClosed
from duologue.ids import IdSource, random_id
from duologue.protocol.server_events import ServerEvent
from duologue.protocol.session import AnySession
from duologue.server.admission import Dialect, Intent, no_call
from duologue.server.call import Call, CallSound
from duologue.server.config import first_session
from duologue.server.connection import Connection
from duologue.server.engines import Engines
from duologue.server.limits import Limits, Waiting
from duologue.server.mcp import refuse_servers, tools_in
from duologue.server.mcp_calls import installed
from duologue.server.rules import Rules
from duologue.server.session import Session
from duologue.server.shell import SessionShell
from duologue.server.tally import Meter, Tally
from duologue.transports.base import EventTransport

__all__ = ["Engines", "RealtimeServer"]


class RealtimeServer:
    """Holds the engines and serves any number of sessions, each over its own transport."""

    def __init__(
        self,
        engines: Engines,
        *,
        limits: Limits | None = None,
        meter: Meter | None = None,
        new_id: IdSource = random_id,
        clock: Clock = monotonic_ms,
    ) -> None:
        self.limits = limits or Limits()
        self.meter = meter or Meter()
        self.draining = False
        self._engines = engines
        self._new_id = new_id
        self._clock = clock
        self._shells: set[SessionShell] = set()
        self._calls: dict[str, SessionShell] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def sessions(self) -> int:
        """Sessions that are open now."""
        return len(self._shells)

    @property
    def full(self) -> bool:
        """True if no further session is wanted; it is for the caller of `serve` to refuse it."""
        return self.limits.max_sessions is not None and self.sessions >= self.limits.max_sessions

    @property
    def responder(self) -> str:
        """The name of the engine that answers."""
        return self._engines.llm.name

    def waiting(self) -> Waiting:
        """How much waits in the queues of all sessions."""
        return Waiting(
            inputs=sum(shell.inputs for shell in self._shells),
            outbox_bytes=sum(shell.connection.waiting_bytes for shell in self._shells),
        )

    def _rules(self) -> Rules:
        # An engine that says nothing about pictures takes none.
        return Rules(
            frame_ms=self._engines.vad.frame_ms,
            session_seconds=self.limits.session_seconds,
            context_tokens=self.limits.context_tokens,
            tokens_per_minute=self.limits.tokens_per_minute,
            kept_audio_bytes=self.limits.kept_audio_bytes,
            sees_images=getattr(self._engines.llm, "sees_images", False),
            remote_tools=installed(),
            reach=self.limits.reach,
            noise=self._engines.noise,
        )

    async def start(self) -> None:
        """Start the engines. Raises the first one's error, with its remedy."""
        await self._engines.start()

    async def close(self) -> None:
        """Stop the engines. Sessions must have ended before."""
        await self._engines.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RealtimeServer]:
        """Started, and closed at the end whatever happens."""
        await self.start()
        try:
            yield self
        finally:
            await self.close()

    async def serve(
        self,
        transport: EventTransport,
        *,
        model: str = "",
        intent: Intent = "conversation",
        dialect: Dialect = "ga",
        initial: AnySession | None = None,
        temperature: float | None = None,
        call: Call | None = None,
    ) -> None:
        """Hold one session until either side ends it. Cancelling it closes the connection with 1001.

        `initial`: settings that apply from the start, as if they had been the client's first update. Raises
        ProtocolError, with nothing sent, where they cannot be applied. `temperature`: what a client of the beta chose
        with them, to be shown to it. `call`: sound comes and goes beside the events,
        and others may `join` by the call's id.
        """
        if initial is not None:
            refuse_servers(installed(), self.limits.reach, tools_in(initial), "session.tools")
        session_id = self._new_id("sess")
        settings = first_session(
            session_id=session_id,
            model=model,
            now_s=unix_s(),
            seconds=self._rules().session_seconds,
            transcriber=self._engines.stt.name if intent == "transcription" else None,
            wish=initial,
        )
        rules = replace(self._rules(), plays=call is not None)
        machine = Session(settings, new_id=self._new_id, now_ms=self._clock(), rules=rules)
        tally = Tally(session_id, dialect, self.meter, self._clock())
        connection = Connection(transport, dialect, self.limits, tally, self._clock, temperature)
        shell = SessionShell(machine, connection, self._engines, self.limits, self._clock)
        if call is not None:
            shell.sound = CallSound(call.port)
            self._calls[call.id] = shell
        self._shells.add(shell)
        self._empty.clear()
        try:
            await shell.run()
        finally:
            self._shells.discard(shell)
            if call is not None:
                self._calls.pop(call.id, None)
            if not self._shells:
                self._empty.set()
            why = connection.closed or TransportClosed(1001, "going away", by="server")
            tally.end(f"{why.by}: {why.code}{f' {why.reason}' if why.reason else ''}", self._clock())

    async def join(self, call_id: str, transport: EventTransport, dialect: Dialect = "ga") -> None:
        """Follow a call's session and take part in it over a transport of one's own, until either ends.

        Raises ProtocolError where there is no such call.
        """
        shell = self._shell_of(call_id)
        limits, now_ms = replace(self.limits, slow_reader_s=0.0), self._clock()
        guest = Connection(transport, dialect, limits, Tally(call_id, dialect, Meter(), now_ms), self._clock)
        await shell.host(guest, self._new_id("event"))

    async def tell(self, call_id: str, event: ServerEvent) -> None:
        """Say something that happened to a call beside its session. Raises ProtocolError where there is no such call."""
        await self._shell_of(call_id).tell(event)

    def hang_up(self, call_id: str, reason: str = "hung up") -> None:
        """End a call. Raises ProtocolError where there is no such call."""
        self._shell_of(call_id).stop(TransportClosed(1000, reason, by="server"))
        del self._calls[call_id]

    def _shell_of(self, call_id: str) -> SessionShell:
        if call_id not in self._calls:
            raise no_call(call_id)
        return self._calls[call_id]

    async def drain(self, grace_s: float) -> None:
        """Let the sessions that run come to their end, for `grace_s` seconds at most; then close them with 1001."""
        self.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        for shell in tuple(self._shells):
            shell.stop(TransportClosed(1001, "the server is shutting down", by="server"))
        await self._empty.wait()
