"""The one async shell of the server: inbox, tasks and timer of each session, around the pure machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, assert_never

from msgspec import Struct, field

from duologue.clock import Clock, monotonic_ms, unix_s
from duologue.engines.base import EndOfTurn, Engine, Llm, Stt, SttSettings, Transcript, Tts, Utterance, Vad, VadStream
from duologue.engines.end_of_turn import RuleEndOfTurn
from duologue.errors import ProtocolError, TransportClosed
from duologue.ids import IdSource, random_id
from duologue.protocol.client_events import InputAudioBufferAppend
from duologue.protocol.session import AnySession, PcmFormat
from duologue.server import commands as do
from duologue.server import inputs as seen
from duologue.server.admission import Dialect, Intent
from duologue.server.config import first_session, input_format
from duologue.server.connection import Connection
from duologue.server.generation import explain, generate
from duologue.server.limits import Limits
from duologue.server.mcp import refuse_without, servers_of
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

    def all(self) -> tuple[Engine, ...]:
        """In the order in which they are listed here."""
        return self.vad, self.stt, self.llm, self.tts, self.eot


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
    ) -> None:
        """Hold one session until either side ends it. Cancelling it closes the connection with 1001.

        `initial`: settings that apply from the start, as if they had been the client's first update. Raises
        ProtocolError, with nothing sent, where they cannot be applied.
        """
        if initial is not None:
            refuse_without(installed(), servers_of(initial), "session.tools")
        session_id = self._new_id("sess")
        settings = first_session(
            session_id=session_id,
            model=model,
            now_s=unix_s(),
            seconds=self._rules().session_seconds,
            transcriber=self._engines.stt.name if intent == "transcription" else None,
            wish=initial,
        )
        machine = Session(settings, new_id=self._new_id, now_ms=self._clock(), rules=self._rules())
        tally = Tally(session_id, dialect, self.meter, self._clock())
        connection = Connection(transport, dialect, self.limits, tally, self._clock)
        shell = _SessionShell(machine, connection, self._engines, self.limits, self._clock)
        self._shells.add(shell)
        self._empty.clear()
        try:
            await shell.run()
        finally:
            self._shells.discard(shell)
            if not self._shells:
                self._empty.set()
            why = connection.closed or TransportClosed(1001, "going away", by="server")
            tally.end(f"{why.by}: {why.code}{f' {why.reason}' if why.reason else ''}", self._clock())

    async def drain(self, grace_s: float) -> None:
        """Let the sessions that run come to their end, for `grace_s` seconds at most; then close them with 1001."""
        self.draining = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), grace_s)
        for shell in tuple(self._shells):
            shell.stop(TransportClosed(1001, "the server is shutting down", by="server"))
        await self._empty.wait()


class Waiting(Struct, frozen=True, kw_only=True):
    """What waits in a server's queues."""

    inputs: int
    outbox_bytes: int


class _SessionShell:
    """Carries out what one session machine commands."""

    def __init__(
        self, machine: Session, connection: Connection, engines: Engines, limits: Limits, clock: Clock
    ) -> None:
        self.connection = connection
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
        self._utterances: dict[str, tuple[Utterance, asyncio.Task[None]]] = {}
        self._partials: dict[str, str] = {}
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
            await asyncio.shield(self.connection.close(why.code, why.reason))

    async def _act(self, workers: list[asyncio.Task[None]]) -> None:
        await self._carry_out(self._machine.open())
        while (happened := (await self._inbox.get())[0]) is not None:
            await self._carry_out(self._machine.handle(self._bounded(happened), self._clock()))
            self._set_timer()
        utterances = [task for _, task in self._utterances.values()]
        for task in [*workers, *self._models.values(), *utterances, *self._remote.tasks]:
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
        await self._post(output)

    async def _stop(self) -> None:
        raise await self._stopped

    def _bounded(self, happened: seen.Input) -> seen.Input:
        """The same, or a refusal where a client keeps appending sound and never commits it."""
        match happened:
            case seen.ClientSent(event=InputAudioBufferAppend(audio=audio, event_id=event_id)):
                held = self._machine.audio_ledger().buffered_bytes
                if held + len(audio) > self._limits.buffered_audio_bytes:
                    message = f"The input audio buffer is full: it holds {held} bytes. Commit or clear it."
                    error = ProtocolError(message, code="input_audio_buffer_full", event_id=event_id or None)
                    return seen.ClientErred(error=error)
        return happened

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
                case do.Detect(audio=audio):
                    await self._detect(audio)
                case do.FeedUtterance(item_id=item_id, audio=audio):
                    if item_id in self._utterances:
                        self._utterances[item_id][0].feed(audio)
                case do.OpenUtterance():
                    self._open_utterance(command)
                case do.JudgeTurn(item_id=item_id, audio=audio):
                    await self._judge(item_id, audio)
                case do.FinishUtterance(item_id=item_id):
                    if item_id in self._utterances:
                        self._utterances[item_id][0].finish()
                case do.AbortUtterance(item_id=item_id):
                    if item_id in self._utterances:
                        self._utterances[item_id][1].cancel()
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
        open_utterance = self._utterances.get(item_id)
        so_far = getattr(open_utterance[0], "so_far", None) if open_utterance else None
        transcript = self._partials.get(item_id)
        score = None
        try:
            async with asyncio.timeout(JUDGEMENT_S):
                if so_far is not None:
                    transcript = await so_far()
                score = await self._engines.eot.score(audio, transcript)
        except TimeoutError:
            log.debug("%s: not judged in time", item_id)
        except Exception:
            log.warning("%s: %s cannot judge", item_id, self._engines.eot.name, exc_info=True)
        await self._carry_out(self._machine.handle(seen.TurnJudged(item_id=item_id, score=score), self._clock()))

    def _open_utterance(self, command: do.OpenUtterance) -> None:
        hints = self._engines.llm.hints(command.tools, command.prompt)
        narrow = not isinstance(input_format(self._machine.settings), PcmFormat)
        settings = SttSettings(language=command.language, narrowband=narrow, prompt=command.prompt, hints=hints)
        utterance = self._engines.stt.open(settings)
        task = self._spawn(self._transcribe(command.item_id, utterance), f"stt-{command.item_id}")
        self._utterances[command.item_id] = (utterance, task)
        task.add_done_callback(lambda _: self._forget(command.item_id))

    def _forget(self, item_id: str) -> None:
        self._utterances.pop(item_id, None)
        self._partials.pop(item_id, None)

    async def _transcribe(self, item_id: str, utterance: Utterance) -> None:
        try:
            async for result in utterance.results():
                self._partials[item_id] = result.text
                news = seen.TranscriptReady if isinstance(result, Transcript) else seen.TranscriptGuess
                await self._post(news(item_id=item_id, text=result.text))
        except Exception as error:
            code, message = explain(error)
            await self._post(seen.TranscriptFailed(item_id=item_id, code=code, message=message))

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
