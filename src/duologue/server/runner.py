"""The one async shell of the server: inbox, tasks and timer of each session, around the pure machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, assert_never

from msgspec import Struct

from duologue.clock import Clock, monotonic_ms, unix_s
from duologue.engines.base import Llm, Stt, SttSettings, Transcript, Tts, Utterance, Vad, VadStream
from duologue.errors import ProtocolError, TransportClosed
from duologue.ids import IdSource, random_id
from duologue.protocol.codec import decode_client_event, encode
from duologue.server import commands as do
from duologue.server import inputs as seen
from duologue.server.config import default_session
from duologue.server.generation import explain, generate
from duologue.server.session import Session
from duologue.transports.base import BinaryFrame, EventTransport

log = logging.getLogger(__name__)

INBOX_SIZE = 256
"""Inputs that may wait for the machine; a faster sender waits with them."""
OUTBOX_SIZE = 512
SLOW_READER_SECONDS = 30.0
"""A client that takes no event for this long, while the outbox is full, is cut off."""
HANGUP_SECONDS = 5.0


class Engines(Struct, frozen=True, kw_only=True):
    """The four engines that all sessions of a server share."""

    vad: Vad
    stt: Stt
    llm: Llm
    tts: Tts


class RealtimeServer:
    """Holds the engines and serves any number of sessions, each over its own transport."""

    def __init__(self, engines: Engines, *, new_id: IdSource = random_id, clock: Clock = monotonic_ms) -> None:
        self._engines = engines
        self._new_id = new_id
        self._clock = clock
        self.sessions = 0

    async def start(self) -> None:
        """Start the engines, side by side. Raises the first one's error, with its remedy."""
        try:
            async with asyncio.TaskGroup() as group:
                for engine in (self._engines.vad, self._engines.stt, self._engines.llm, self._engines.tts):
                    group.create_task(engine.start(), name=f"start-{engine.name}")
        except BaseExceptionGroup as failures:
            await self.close()
            raise failures.exceptions[0] from None

    async def close(self) -> None:
        """Stop the engines. Sessions must have ended before."""
        for engine in (self._engines.tts, self._engines.llm, self._engines.stt, self._engines.vad):
            await engine.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RealtimeServer]:
        """Started, and closed at the end whatever happens."""
        await self.start()
        try:
            yield self
        finally:
            await self.close()

    async def serve(self, transport: EventTransport, *, model: str) -> None:
        """Hold one session until either side ends it. Cancelling it closes the connection with 1001."""
        session_id = self._new_id("sess")
        settings = default_session(session_id=session_id, model=model, now_s=unix_s())
        machine = Session(settings, new_id=self._new_id, now_ms=self._clock(), frame_ms=self._engines.vad.frame_ms)
        self.sessions += 1
        try:
            await _SessionShell(machine, transport, self._engines, self._clock).run()
        finally:
            self.sessions -= 1


class _SessionShell:
    """Carries out what one session machine commands."""

    def __init__(self, machine: Session, transport: EventTransport, engines: Engines, clock: Clock) -> None:
        self._machine = machine
        self._transport = transport
        self._engines = engines
        self._clock = clock
        self._inbox: asyncio.Queue[seen.Input | None] = asyncio.Queue(INBOX_SIZE)
        self._outbox: asyncio.Queue[bytes | do.Hangup] = asyncio.Queue(OUTBOX_SIZE)
        self._detector: VadStream | None = None
        self._utterances: dict[str, tuple[Utterance, asyncio.Task[None]]] = {}
        self._models: dict[str, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: int | None = None

    async def run(self) -> None:
        """Until the connection ends."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                workers = [
                    group.create_task(self._read(), name="session-reader"),
                    group.create_task(self._write(), name="session-writer"),
                ]
                await self._act(workers)
        except* TransportClosed as closed:
            log.debug("session ended: %s", closed.exceptions[0])
        except* Exception as failures:
            log.error("session ended by a defect", exc_info=failures)
            await self._transport.close(1011, "internal error")
        finally:
            if self._timer:
                self._timer.cancel()
            await asyncio.shield(self._transport.close(1001, "going away"))

    async def _act(self, workers: list[asyncio.Task[None]]) -> None:
        await self._carry_out(self._machine.open())
        while (happened := await self._inbox.get()) is not None:
            await self._carry_out(self._machine.handle(happened, self._clock()))
            self._set_timer()
        for task in [*workers, *self._models.values(), *(task for _, task in self._utterances.values())]:
            task.cancel()

    # --- the connection --------------------------------------------------------------------------------------

    async def _read(self) -> None:
        async for frame in self._transport:
            if isinstance(frame, BinaryFrame):
                error = ProtocolError("Binary frames are not supported: send JSON text.", code="invalid_event")
                await self._inbox.put(seen.ClientErred(error=error))
                continue
            try:
                happened: seen.Input = seen.ClientSent(event=decode_client_event(frame))
            except ProtocolError as error:
                happened = seen.ClientErred(error=error)
            await self._inbox.put(happened)
        await self._inbox.put(None)

    async def _write(self) -> None:
        while True:
            frame = await self._outbox.get()
            if isinstance(frame, do.Hangup):
                await asyncio.wait_for(self._transport.close(frame.code, frame.reason), HANGUP_SECONDS)
                return
            await self._transport.send(frame)

    async def _send(self, frame: bytes | do.Hangup) -> None:
        try:
            self._outbox.put_nowait(frame)
        except asyncio.QueueFull:
            try:
                await asyncio.wait_for(self._outbox.put(frame), SLOW_READER_SECONDS)
            except TimeoutError:
                raise TransportClosed(1008, "the client reads too slowly", by="server") from None

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
            self._inbox.put_nowait(seen.Tick())

    # --- commands --------------------------------------------------------------------------------------------

    async def _carry_out(self, commands: list[do.Command]) -> None:
        for command in commands:
            match command:
                case do.Send(event=event):
                    await self._send(encode(event))
                case do.Detect(audio=audio):
                    await self._detect(audio)
                case do.FeedUtterance(item_id=item_id, audio=audio):
                    if item_id in self._utterances:
                        self._utterances[item_id][0].feed(audio)
                case do.OpenUtterance():
                    self._open_utterance(command)
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
                case do.OpenDetector():
                    self._detector = self._engines.vad.open()
                case do.Hangup():
                    await self._send(command)
                case _:
                    assert_never(command)

    async def _detect(self, audio: bytes) -> None:
        """The detector answers at once, so its frames are judged before anything that came in later."""
        if self._detector is None:
            return
        probabilities = tuple(self._detector.feed(audio))
        if probabilities:
            happened = seen.SpeechFrames(probabilities=probabilities)
            await self._carry_out(self._machine.handle(happened, self._clock()))

    def _open_utterance(self, command: do.OpenUtterance) -> None:
        hints = self._engines.llm.hints(command.tools, command.prompt)
        settings = SttSettings(language=command.language, prompt=command.prompt, hints=hints)
        utterance = self._engines.stt.open(settings)
        task = self._spawn(self._transcribe(command.item_id, utterance), f"stt-{command.item_id}")
        self._utterances[command.item_id] = (utterance, task)
        task.add_done_callback(lambda _: self._utterances.pop(command.item_id, None))

    async def _transcribe(self, item_id: str, utterance: Utterance) -> None:
        try:
            async for result in utterance.results():
                if isinstance(result, Transcript):
                    await self._inbox.put(seen.TranscriptReady(item_id=item_id, text=result.text))
        except Exception as error:
            code, message = explain(error)
            await self._inbox.put(seen.TranscriptFailed(item_id=item_id, code=code, message=message))

    def _start_model(self, command: do.StartModel) -> None:
        work = generate(
            command.response_id,
            command.request,
            command.voice,
            llm=self._engines.llm,
            tts=self._engines.tts,
            post=self._inbox.put,
        )
        task = self._spawn(work, f"response-{command.response_id}")
        self._models[command.response_id] = task
        task.add_done_callback(lambda _: self._models.pop(command.response_id, None))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self._group.create_task(work, name=name)
