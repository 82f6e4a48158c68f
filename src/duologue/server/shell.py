"""The one async shell of a session: inbox, tasks and timer around the pure machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from typing import Any, assert_never

from msgspec.structs import replace

from duologue.clock import Clock
from duologue.engines.base import SttSettings, VadStream
from duologue.errors import ProtocolError, TransportClosed
from duologue.protocol.client_events import InputAudioBufferAppend
from duologue.protocol.server_events import ServerEvent, SessionCreated
from duologue.protocol.session import PcmFormat
from duologue.server import commands as do
from duologue.server import inputs as seen
from duologue.server.call import CallSound
from duologue.server.config import input_format
from duologue.server.connection import Connection
from duologue.server.engines import Engines
from duologue.server.generation import generate
from duologue.server.guests import Guests
from duologue.server.hearing import Hearing
from duologue.server.limits import Limits
from duologue.server.mcp import shown
from duologue.server.mcp_calls import RemoteCaller
from duologue.server.session import Session
from duologue.server.weighed import WeighedQueue

log = logging.getLogger(__name__)

INBOX_SIZE = 256
"""Inputs that may wait for the machine; a faster sender waits with them."""
DETECTED_BYTES = 48_000
"""A second of sound is looked at before others have their turn."""
APPENDED_BYTES = {True: 48_000, False: 8_000}
"""A second of sound as it is sent, PCM16 or G.711: so much of an append is taken in at a time."""
JUDGEMENT_S = 0.25
"""How long a session waits for words so far and for the judgement of a pause; without one the pause is of middle length."""


class SessionShell:
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

    async def tell(self, event: ServerEvent) -> None:
        """Send what did not come from the machine to everybody. Raises TransportClosed."""
        await self.connection.send(event)
        await self._guests.send(event)

    async def _act(self, workers: list[asyncio.Task[None]]) -> None:
        await self._carry_out(self._machine.open())
        while (happened := (await self._inbox.get())[0]) is not None:
            for number, part in enumerate(self._parts(self._bounded(happened))):
                if number:
                    await asyncio.sleep(0)  # to reduce the noise of five minutes must not hold up the other sessions
                await self._carry_out(self._machine.handle(part, self._clock()))
            self._set_timer()
        for task in [*workers, *self._models.values(), *self._hearing.tasks, *self._remote.tasks]:
            task.cancel()

    def _parts(self, happened: seen.Input) -> Iterator[seen.Input]:
        """A long append in parts, for each of which the others have their turn: how sound is cut changes nothing."""
        match happened:
            case seen.ClientSent(event=InputAudioBufferAppend(audio=audio) as event):
                size = APPENDED_BYTES[isinstance(input_format(self._machine.settings), PcmFormat)]
                for begin in range(0, len(audio) or 1, size):
                    yield seen.ClientSent(event=replace(event, audio=audio[begin : begin + size]))
            case _:
                yield happened

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
                case do.ExpectSpeech():
                    self._hearing.expect(self._recognition(command))
                case do.OpenUtterance():
                    self._hearing.open(command.item_id, self._recognition(command))
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
                case do.ReportEstimate(input_tokens=input_tokens, output_tokens=output_tokens):
                    self.connection.tally.estimated(input_tokens, output_tokens)
                case do.Hangup():
                    await self.connection.hang_up(command)
                case _:
                    assert_never(command)

    async def _detect(self, audio: bytes) -> None:
        """The detector answers at once, so its frames are judged before anything that came in later.

        One by one: what a frame leads to (is the user's turn over?) is settled before the next.
        """
        for begin in range(0, len(audio), DETECTED_BYTES):
            if begin:
                await asyncio.sleep(0)  # five minutes in one append must not hold up the other sessions
            if self._detector is None:
                return
            for probability in self._detector.feed(audio[begin : begin + DETECTED_BYTES]):
                happened = seen.SpeechFrames(probabilities=(probability,))
                await self._carry_out(self._machine.handle(happened, self._clock()))

    async def _judge(self, item_id: str, audio: bytes) -> None:
        """Judged within its time or not at all: the session waits for it."""
        score = None
        try:
            words = await self._hearing.words_so_far(item_id, JUDGEMENT_S)
            async with asyncio.timeout(JUDGEMENT_S):
                score = await self._engines.eot.score(audio, words)
        except TimeoutError:
            log.debug("%s: not judged in time", item_id)
        except Exception:
            log.warning("%s: %s cannot judge", item_id, self._engines.eot.name, exc_info=True)
        await self._carry_out(self._machine.handle(seen.TurnJudged(item_id=item_id, score=score), self._clock()))

    def _recognition(self, command: do.OpenUtterance | do.ExpectSpeech) -> SttSettings:
        hints = self._engines.llm.hints(command.tools, command.prompt)
        narrow = self.sound is None and not isinstance(input_format(self._machine.settings), PcmFormat)
        return SttSettings(language=command.language, narrowband=narrow, prompt=command.prompt, hints=hints)

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
