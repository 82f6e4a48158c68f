"""The one async shell of the server: inbox, tasks and timer of each session, around the pure machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from duologue.clock import Clock, monotonic_ms, unix_s
from duologue.engines.base import EndOfTurn, Engine, Llm, NoiseReducer, Stt, SttSettings, Tts, Vad, VadStream
from duologue.engines.end_of_turn import RuleEndOfTurn
from duologue.errors import ProtocolError, TransportClosed
from duologue.ids import IdSource, random_id
from duologue.protocol.client_events import InputAudioBufferAppend
from duologue.protocol.server_events import SessionCreated
from duologue.protocol.session import AnySession, PcmFormat
from duologue.server import commands as do
from duologue.server import inputs as seen
from duologue.server.admission import Dialect, Intent, no_call
from duologue.server.call import Call, CallSound
from duologue.server.config import first_session, input_format
from duologue.server.connection import Connection
from duologue.server.generation import generate
from duologue.server.guests import Guests
from duologue.server.hearing import Hearing
from duologue.server.limits import Limits, Waiting
from duologue.server.mcp import refuse_servers, shown, tools_in
from duologue.server.mcp_calls import RemoteCaller, installed
from duologue.server.rules import Rules
from duologue.server.session import Session
from duologue.server.tally import Meter, Tally
from duologue.server.weighed import WeighedQueue
from duologue.transports.base import EventTransport

log = logging.getLogger(__name__)

INBOX_SIZE = 256
"""Inputs that may wait for the machine; a faster sender waits with them."""
JUDGEMENT_S = 0.25
"""How long a session waits for words so far and for the judgement of a pause; without one the pause is of middle length."""


class Engines(Struct, frozen=True, kw_only=True):
    """The engines that all sessions of a server share."""

    vad: Vad
    stt: Stt
    llm: Llm
    tts: Tts
    eot: EndOfTurn = field(default_factory=RuleEndOfTurn)
    noise: NoiseReducer | None = None

    def all(self) -> tuple[Engine, ...]:
        """In the order in which they are listed here."""
        return self.vad, self.stt, self.llm, self.tts, self.eot, *((self.noise,) if self.noise else ())


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
        self._shells: set[_SessionShell] = set()
        self._calls: dict[str, _SessionShell] = {}
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
        """Start the engines, side by side. Raises the first one's error, with its remedy."""
        try:
            async with asyncio.TaskGroup() as group:
                for engine in self._engines.all():
                    group.create_task(engine.start(), name=f"start-{engine.name}")
        except BaseExceptionGroup as failures:
            await self.close()
            raise failures.exceptions[0] from None

    async def close(self) -> None:
        """Stop the engines. Sessions must have ended before."""
        for engine in reversed(self._engines.all()):
            await engine.close()

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
        call: Call | None = None,
    ) -> None:
        """Hold one session until either side ends it. Cancelling it closes the connection with 1001.

        `initial`: settings that apply from the start, as if they had been the client's first update. Raises
        ProtocolError, with nothing sent, where they cannot be applied. `call`: sound comes and goes beside the events,
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
        connection = Connection(transport, dialect, self.limits, tally, self._clock)
        shell = _SessionShell(machine, connection, self._engines, self.limits, self._clock)
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

    def hang_up(self, call_id: str) -> None:
        """End a call. Raises ProtocolError where there is no such call."""
        self._shell_of(call_id).stop(TransportClosed(1000, "hung up", by="server"))
        del self._calls[call_id]

    def _shell_of(self, call_id: str) -> _SessionShell:
        if call_id not in self._calls:
            raise no_call(call_id)
        return self._calls[call_id]

    async def drain(self, grace_s: float) -> None:
        """Let the sessions that run come to their end, for `grace_s` seconds at most; then close them with 1001."""
        self.draining = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), grace_s)
        for shell in tuple(self._shells):
            shell.stop(TransportClosed(1001, "the server is shutting down", by="server"))
        await self._empty.wait()


class _SessionShell:
    """Carries out what one session machine commands."""

    def __init__(
        self, machine: Session, connection: Connection, engines: Engines, limits: Limits, clock: Clock
    ) -> None:
        self.connection = connection
        self.sound: CallSound | None = None
        """A call's; None where sound comes and goes as events."""
        self._guests = Guests()
        self._machine = machine
        self._engines = engines
        self._limits = limits
        self._clock = clock
        self._inbox: WeighedQueue[tuple[seen.Input | None, int]] = WeighedQueue(
            items=INBOX_SIZE, weight=limits.inbox_bytes, weigh=lambda pair: pair[1]
        )
        """Inputs with the size of the frame that brought them; None where the client has gone."""
        self._stopped: asyncio.Future[TransportClosed] = asyncio.get_running_loop().create_future()
        self._detector: VadStream | None = None
        self._hearing = Hearing(engines.stt, self._spawn, self._post)
        self._models: dict[str, asyncio.Task[None]] = {}
        self._remote = RemoteCaller(self._spawn, self._post, limits)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: int | None = None

    @property
    def inputs(self) -> int:
        """Inputs that wait to be handled."""
        return self._inbox.qsize()

    def stop(self, why: TransportClosed) -> None:
        """End the session, whatever it is doing."""
        if not self._stopped.done():
            self._stopped.set_result(why)

    async def run(self) -> None:
        """Until the connection ends."""
        why = TransportClosed(1001, "going away", by="server")
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                workers = [
                    group.create_task(self._read(), name="session-reader"),
                    group.create_task(self.connection.write(), name="session-writer"),
                    group.create_task(self._stop(), name="session-stopper"),
                ]
                if self.sound is not None:
                    workers.append(group.create_task(self.sound.listen(self._post, self._has_room), name="call-ear"))
                    workers.append(group.create_task(self.sound.watch(self._post), name="call-clock"))
                await self._act(workers)
        except* TransportClosed as closed:
            why = _first(closed)
            log.debug("session ended: %s", why)
        except* Exception as failures:
            log.error("session ended by a defect", exc_info=failures)
            why = TransportClosed(1011, "internal error", by="server")
        finally:
            if self._timer:
                self._timer.cancel()
            self._guests.dismiss(self.connection.closed or why)
            await asyncio.shield(self.connection.close(why.code, why.reason))

    async def host(self, guest: Connection, event_id: str) -> None:
        """Let somebody else take part, until either side ends it."""
        greeting = SessionCreated(event_id=event_id, session=shown(self._machine.settings))
        await self._guests.host(guest, greeting, self._post)

    async def _act(self, workers: list[asyncio.Task[None]]) -> None:
        await self._carry_out(self._machine.open())
        while (happened := (await self._inbox.get())[0]) is not None:
            await self._carry_out(self._machine.handle(self._bounded(happened), self._clock()))
            self._set_timer()
        for task in [*workers, *self._models.values(), *self._hearing.tasks, *self._remote.tasks]:
            task.cancel()

    async def _read(self) -> None:
        await self.connection.read(self._post)
        await self._inbox.put((None, 0))

    async def _post(self, happened: seen.Input, size_bytes: int = 0) -> None:
        """Queue something for the machine; waits while the inbox is full."""
        await self._inbox.put((happened, size_bytes))

    async def _post_output(self, output: seen.ModelOutput) -> None:
        """Model and voice wait for a client that is behind: the machine, which hears interruptions, must not."""
        try:
            await self.connection.room()
        except TransportClosed as gone:
            self.stop(gone)
        if self.sound is not None and isinstance(output, seen.VoiceAudio):
            await self.sound.room()  # a voice is faster than the loudspeaker
        await self._post(output)

    async def _stop(self) -> None:
        raise await self._stopped

    def _bounded(self, happened: seen.Input) -> seen.Input:
        """The same, or a refusal where a client keeps appending sound and never commits it."""
        match happened:
            case seen.ClientSent(event=InputAudioBufferAppend(audio=audio, event_id=event_id)):
                if not self._has_room(len(audio)):
                    message = "The input audio buffer is full: commit or clear it."
                    error = ProtocolError(message, code="input_audio_buffer_full", event_id=event_id or None)
                    return seen.ClientErred(error=error)
        return happened

    def _has_room(self, size_bytes: int) -> bool:
        """Whether the input audio buffer takes that much more."""
        return self._machine.audio_ledger().buffered_bytes + size_bytes <= self._limits.buffered_audio_bytes

    def _set_timer(self) -> None:
        due_ms = self._machine.next_deadline_ms()
        if due_ms == self._timer_ms:
            return
        if self._timer:
            self._timer.cancel()
        self._timer_ms = due_ms
        if due_ms is not None:
            delay_s = max(0, due_ms - self._clock()) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer_ms = None
        if not self._inbox.full():  # a full inbox is about to be handled, and every handling looks at the deadlines
            self._inbox.put_nowait((seen.Tick(), 0))

    # --- commands --------------------------------------------------------------------------------------------

    async def _carry_out(self, commands: list[do.Command]) -> None:
        for command in commands:
            match command:
                case do.Send(event=event):
                    await self.connection.send(event)
                    await self._guests.send(event)
                case do.Play(audio=audio):
                    if self.sound is not None:
                        self.sound.play(audio)
                case do.Hush():
                    if self.sound is not None:
                        self.sound.hush()
                case do.Detect(audio=audio):
                    await self._detect(audio)
                case do.FeedUtterance(item_id=item_id, audio=audio):
                    self._hearing.feed(item_id, audio)
                case do.OpenUtterance():
                    self._open_utterance(command)
                case do.JudgeTurn(item_id=item_id, audio=audio):
                    await self._judge(item_id, audio)
                case do.FinishUtterance(item_id=item_id):
                    self._hearing.finish(item_id)
                case do.AbortUtterance(item_id=item_id):
                    self._hearing.abort(item_id)
                case do.StartModel():
                    self._start_model(command)
                case do.StopModel(response_id=response_id):
                    if response_id in self._models:
                        self._models[response_id].cancel()
                    self.connection.hush(response_id)
                case do.ListRemote(item_id=item_id, server=server):
                    self._remote.list_tools(item_id, server)
                case do.CallRemote():
                    self._remote.call(command)
                case do.StopRemote(item_id=item_id):
                    self._remote.stop(item_id)
                case do.OpenDetector():
                    self._detector = self._engines.vad.open()
                case do.ReportDropped(response_id=response_id, item_ids=item_ids):
                    log.info("%s: the context is full, %d items are no longer read", response_id, len(item_ids))
                case do.Hangup():
                    await self.connection.hang_up(command)
                case _:
                    assert_never(command)

    async def _detect(self, audio: bytes) -> None:
        """The detector answers at once, so its frames are judged before anything that came in later.

        One by one: what a frame leads to (is the user's turn over?) is settled before the next.
        """
        if self._detector is None:
            return
        for probability in self._detector.feed(audio):
            happened = seen.SpeechFrames(probabilities=(probability,))
            await self._carry_out(self._machine.handle(happened, self._clock()))

    async def _judge(self, item_id: str, audio: bytes) -> None:
        """Judged within its time or not at all: the session waits for it."""
        score = None
        try:
            words = await self._hearing.words_so_far(item_id, JUDGEMENT_S)
            score = await asyncio.wait_for(self._engines.eot.score(audio, words), JUDGEMENT_S)
        except TimeoutError:
            log.debug("%s: not judged in time", item_id)
        except Exception:
            log.warning("%s: %s cannot judge", item_id, self._engines.eot.name, exc_info=True)
        await self._carry_out(self._machine.handle(seen.TurnJudged(item_id=item_id, score=score), self._clock()))

    def _open_utterance(self, command: do.OpenUtterance) -> None:
        hints = self._engines.llm.hints(command.tools, command.prompt)
        narrow = self.sound is None and not isinstance(input_format(self._machine.settings), PcmFormat)
        settings = SttSettings(language=command.language, narrowband=narrow, prompt=command.prompt, hints=hints)
        self._hearing.open(command.item_id, settings)

    def _start_model(self, command: do.StartModel) -> None:
        work = generate(
            command.response_id,
            command.request,
            command.voice,
            llm=self._engines.llm,
            tts=self._engines.tts,
            post=self._post_output,
        )
        task = self._spawn(work, f"response-{command.response_id}")
        self._models[command.response_id] = task
        task.add_done_callback(lambda _: self._models.pop(command.response_id, None))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self._group.create_task(work, name=name)


def _first(group: BaseExceptionGroup[TransportClosed]) -> TransportClosed:
    """Groups may nest; the first leaf tells what came first."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, TransportClosed)
    return error
