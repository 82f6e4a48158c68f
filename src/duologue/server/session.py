"""The session machine: everything that happens goes in as an `Input`, everything to be done comes out as `Command`s.

Pure: it never waits, reads no clock and makes no id of its own. It composes the listening side, the conversation and
the running responses, and is the only one to change them; `handle` is the only door.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, assert_never

from msgspec import UNSET

from duologue.engines.base import LlmRequest, VoiceSettings
from duologue.errors import ProtocolError
from duologue.ids import IdSource
from duologue.protocol import client_events as said
from duologue.protocol import server_events as wire
from duologue.protocol.items import InputAudio, Item, Message
from duologue.protocol.responses import DurationUsage, ResponseCreateParams
from duologue.protocol.session import RealtimeSession, ServerVad
from duologue.server import config
from duologue.server.commands import (
    AbortUtterance,
    Command,
    FeedUtterance,
    FinishUtterance,
    Hangup,
    OpenUtterance,
    Send,
    StartModel,
    StopModel,
)
from duologue.server.conversation import Conversation, Sound
from duologue.server.input_buffer import BYTES_PER_MS, Ledger
from duologue.server.inputs import (
    ClientErred,
    ClientSent,
    Input,
    ModelDone,
    ModelFailed,
    ModelOutput,
    ModelText,
    ModelToolCall,
    SpeechFrames,
    Tick,
    TranscriptFailed,
    TranscriptReady,
    VoiceAudio,
    VoiceMark,
)
from duologue.server.listening import Began, Ended, Listening, Step
from duologue.server.plan import Plan, make_plan
from duologue.server.response import ResponseMachine

E = TypeVar("E", bound=wire.ServerEvent)


class _Running:
    """A response, what it was asked to do, and the transcripts that it still waits for."""

    def __init__(self, plan: Plan, machine: ResponseMachine, waits_for: set[str]) -> None:
        self.plan = plan
        self.machine = machine
        self.waits_for = waits_for


class Session:
    """One client's session, from `session.created` to the end of the connection."""

    def __init__(self, session: RealtimeSession, *, new_id: IdSource, now_ms: int, frame_ms: int = 32) -> None:
        self.settings = session
        self.conversation = Conversation()
        self._new_id = new_id
        self._conversation_id = new_id("conv")
        self._listening = Listening(new_id, frame_ms=frame_ms)
        self._running: dict[str, _Running] = {}
        self._active_id: str | None = None
        self._transcribing: dict[str, float] = {}
        self._lost: dict[str, tuple[str, str]] = {}
        self._early_failure: TranscriptFailed | None = None
        self._half_sample = b""
        self._wants_answer = False
        self._idle_at_ms: int | None = None
        self._expires_at_ms = now_ms + config.SESSION_SECONDS * 1000
        self._ended = False
        self._now_ms = now_ms
        self._out: list[Command] = []

    # --- the door --------------------------------------------------------------------------------------------

    def open(self) -> list[Command]:
        """The first commands: `session.created`, and the detector's start."""
        self._out = []
        self._emit(wire.SessionCreated, session=self.settings)
        self._steps(self._listening.configure(self.settings))
        return self._out

    def handle(self, happened: Input, now_ms: int) -> list[Command]:
        """What is to be done about something that happened at `now_ms`. Never raises on any sequence of inputs."""
        self._out, self._now_ms = [], now_ms
        if self._ended:
            return self._out
        self._check_deadlines()
        match happened:
            case ClientSent(event=event):
                self._client_event(event)
            case ClientErred(error=error):
                self._refuse(error)
            case SpeechFrames(probabilities=probabilities):
                self._steps(self._listening.frames(probabilities))
            case TranscriptReady(item_id=item_id, text=text):
                self._transcribed(item_id, text)
            case TranscriptFailed():
                self._untranscribed(happened)
            case ModelText() | ModelToolCall() | VoiceAudio() | VoiceMark() | ModelDone() | ModelFailed():
                self._model_output(happened)
            case Tick():
                pass
            case _:
                assert_never(happened)
        return self._out

    def next_deadline_ms(self) -> int | None:
        """When a `Tick` is due, None once the session has ended."""
        if self._ended:
            return None
        return self._expires_at_ms if self._idle_at_ms is None else min(self._idle_at_ms, self._expires_at_ms)

    @property
    def active_response_id(self) -> str | None:
        """The response that runs in the default conversation."""
        return self._active_id

    def audio_ledger(self) -> Ledger:
        """Where the user's sound went."""
        return self._listening.buffer.ledger()

    # --- client events ---------------------------------------------------------------------------------------

    def _client_event(self, event: said.ClientEvent) -> None:
        try:
            self._obey(event)
        except ProtocolError as error:
            self._refuse(error, None if event.event_id is UNSET else event.event_id)

    def _obey(self, event: said.ClientEvent) -> None:
        match event:
            case said.InputAudioBufferAppend(audio=audio):
                self._append(audio)
            case said.InputAudioBufferCommit():
                item_id, audio, steps = self._listening.commit()
                self._steps(steps)
                self._add_speech(item_id, audio)
            case said.InputAudioBufferClear():
                self._half_sample = b""
                self._steps(self._listening.clear())
                self._emit(wire.InputAudioBufferCleared)
            case said.OutputAudioBufferClear():
                raise ProtocolError(
                    "Invalid value: 'output_audio_buffer.clear'. It is for WebRTC and SIP, where the server plays.",
                    code="invalid_value",
                    param="type",
                )
            case said.SessionUpdate(session=update):
                spoke = self.conversation.has_assistant_audio
                self.settings = config.updated(self.settings, update, has_spoken=spoke)
                self._emit(wire.SessionUpdated, session=self.settings)
                self._steps(self._listening.configure(self.settings))
            case said.ConversationItemCreate():
                self._create_item(event)
            case said.ConversationItemRetrieve(item_id=item_id):
                self._emit(wire.ConversationItemRetrieved, item=self.conversation.retrieve(item_id))
            case said.ConversationItemDelete(item_id=item_id):
                self.conversation.delete(item_id)
                self._emit(wire.ConversationItemDeleted, item_id=item_id)
            case said.ConversationItemTruncate():
                self._truncate(event)
            case said.ResponseCreate(response=params):
                self._respond(params if isinstance(params, ResponseCreateParams) else ResponseCreateParams())
            case said.ResponseCancel(response_id=response_id):
                self._cancel(response_id or self._active_id)
            case _:
                assert_never(event)

    def _append(self, audio: bytes) -> None:
        audio = self._half_sample + audio
        whole = len(audio) & ~1
        self._half_sample = audio[whole:]
        if whole:
            self._steps(self._listening.append(audio[:whole]))

    def _create_item(self, event: said.ConversationItemCreate) -> None:
        item, previous = self.conversation.create(event, self._new_id)
        item_id = str(item.id)
        self._emit(wire.ConversationItemAdded, previous_item_id=previous, item=item)
        self._emit(wire.ConversationItemDone, previous_item_id=previous, item=item)
        sound = self.conversation.sound(item_id)
        if sound is not None and _lacks_transcript(item):
            words = config.transcription(self.settings)
            opened = OpenUtterance(
                item_id=item_id,
                language=(words.language or None) if words else None,
                prompt=(words.prompt or None) if words else None,
                tools=config.function_tools(self.settings.tools),
            )
            feed = FeedUtterance(item_id=item_id, audio=sound.audio)
            self._steps([opened, feed, FinishUtterance(item_id=item_id)])
            self._transcribing[item_id] = len(sound.audio) / BYTES_PER_MS / 1000

    def _truncate(self, event: said.ConversationItemTruncate) -> None:
        speaking = [run.machine for run in self._running.values() if run.machine.is_speaking(event.item_id)]
        if speaking and event.content_index == 0:
            speaking[0].truncate(event.audio_end_ms)
        else:
            self.conversation.truncate(event)
        self._emit(
            wire.ConversationItemTruncated,
            item_id=event.item_id,
            content_index=event.content_index,
            audio_end_ms=event.audio_end_ms,
        )

    # --- the user's turns ------------------------------------------------------------------------------------

    def _steps(self, steps: Iterable[Step]) -> None:
        for step in steps:
            match step:
                case Began():
                    self._speech_began(step)
                case Ended():
                    self._speech_ended(step)
                case _:
                    self._out.append(step)

    def _speech_began(self, speech: Began) -> None:
        self._idle_at_ms = None
        self._emit(wire.InputAudioBufferSpeechStarted, audio_start_ms=speech.audio_start_ms, item_id=speech.item_id)
        detection = config.turn_detection(self.settings)
        if self._active_id is not None and detection is not None and detection.interrupt_response is not False:
            self._finish(self._active_id, self._running[self._active_id].machine.cancel("turn_detected"), stop=True)

    def _speech_ended(self, speech: Ended) -> None:
        self._emit(wire.InputAudioBufferSpeechStopped, audio_end_ms=speech.audio_end_ms, item_id=speech.item_id)
        self._add_speech(speech.item_id, speech.audio)
        detection = config.turn_detection(self.settings)
        if detection is not None and detection.create_response is not False:
            self._answer()

    def _add_speech(self, item_id: str, audio: bytes, transcript: str | None = None) -> None:
        history = self.conversation.history
        previous = history.last_id
        self._emit(wire.InputAudioBufferCommitted, previous_item_id=previous, item_id=item_id)
        content = (InputAudio(transcript=transcript),)
        item = Message(id=item_id, status="completed", role="user", content=content)
        history.append(item_id, item)
        self.conversation.set_sound(item_id, Sound(audio=audio))
        if transcript is None:
            self._transcribing[item_id] = len(audio) / BYTES_PER_MS / 1000
        self._emit(wire.ConversationItemAdded, previous_item_id=previous, item=item)
        self._emit(wire.ConversationItemDone, previous_item_id=previous, item=item)
        early, self._early_failure = self._early_failure, None
        if early and early.item_id == item_id:
            self._untranscribed(early)

    def _transcribed(self, item_id: str, text: str) -> None:
        seconds = self._transcribing.pop(item_id, None)
        if seconds is None:
            return
        self.conversation.set_transcript(item_id, text)
        if config.transcription(self.settings) is not None and item_id in self.conversation.history:
            where = {"item_id": item_id, "content_index": 0}
            if text:
                self._emit(wire.InputAudioTranscriptionDelta, **where, delta=text)
            usage = DurationUsage(seconds=round(seconds, 3))
            self._emit(wire.InputAudioTranscriptionCompleted, **where, transcript=text, usage=usage)
        self._release(item_id)

    def _untranscribed(self, failure: TranscriptFailed) -> None:
        if self._transcribing.pop(failure.item_id, None) is None:
            self._early_failure = (
                failure  # the recognizer gave up in mid-speech: told once there is an item to tell it of
            )
            return
        if config.transcription(self.settings) is not None and failure.item_id in self.conversation.history:
            error = wire.TranscriptionError(type="server_error", code=failure.code, message=failure.message, param="")
            self._emit(wire.InputAudioTranscriptionFailed, item_id=failure.item_id, content_index=0, error=error)
        self._lost[failure.item_id] = (failure.code, failure.message)
        for response_id, running in list(self._running.items()):
            if failure.item_id in running.waits_for:
                self._finish(response_id, running.machine.fail(failure.code, failure.message))

    def _release(self, item_id: str) -> None:
        for running in self._running.values():
            if item_id in running.waits_for:
                running.waits_for.discard(item_id)
                if not running.waits_for:
                    self._start_model(running)

    # --- responses -------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        """Answer a finished turn; where a response may not be interrupted, after it."""
        if self._active_id is None:
            self._respond(ResponseCreateParams())
        else:
            self._wants_answer = True

    def _respond(self, params: ResponseCreateParams) -> None:
        plan = make_plan(params, self.settings, self.conversation)
        if plan.in_conversation:
            if self._active_id is not None:
                raise ProtocolError(
                    f"Conversation already has an active response in progress: {self._active_id}. "
                    "Wait until the response is finished before creating a new one.",
                    code="conversation_already_has_active_response",
                )
            self._wants_answer, self._idle_at_ms = False, None
        response_id = self._new_id("resp")
        conversation_id = self._conversation_id if plan.in_conversation else None
        response = plan.response(response_id, conversation_id)
        machine = ResponseMachine(response, self.conversation, plan.read, self._new_id)
        running = _Running(plan, machine, {item for item in plan.speech_ids if item in self._transcribing})
        self._running[response_id] = running
        if plan.in_conversation:
            self._active_id = response_id
        self._send(machine.start())
        unheard = plan.newest_speech_id and self._lost.get(plan.newest_speech_id)
        if unheard:
            self._finish(response_id, machine.fail(*unheard))
        elif not running.waits_for:
            self._start_model(running)

    def _start_model(self, running: _Running) -> None:
        # Read the conversation now: the transcripts have come since the response was created.
        items = running.plan.items(self.conversation)
        request: LlmRequest = running.plan.request(items)
        voice: VoiceSettings | None = running.plan.voice
        response_id = running.machine.response.id
        self._out.append(StartModel(response_id=response_id, request=request, voice=voice))

    def _model_output(self, output: ModelOutput) -> None:
        running = self._running.get(output.response_id)
        if running is None:
            return  # late output of a response that is over
        machine = running.machine
        match output:
            case ModelText(text=text):
                self._send(machine.text(text))
            case ModelToolCall():
                self._send(machine.tool_call(output.index, output.name, output.arguments))
            case VoiceAudio(audio=audio):
                self._send(machine.audio(audio))
            case VoiceMark(characters=characters):
                machine.mark(characters)
            case ModelDone():
                self._finish(output.response_id, machine.finish(output))
            case ModelFailed(code=code, message=message):
                self._finish(output.response_id, machine.fail(code, message))

    def _cancel(self, response_id: str | None) -> None:
        running = self._running.get(response_id) if response_id else None
        if running is None or response_id is None:
            raise ProtocolError("Cancellation failed: no active response found", code="response_cancel_not_active")
        self._finish(response_id, running.machine.cancel("client_cancelled"), stop=True)

    def _finish(self, response_id: str, last_events: list[wire.ServerEvent], *, stop: bool = False) -> None:
        machine = self._running.pop(response_id).machine
        if stop:
            self._out.append(StopModel(response_id=response_id))
        self._send(last_events)
        if response_id != self._active_id:
            return
        self._active_id = None
        detection = config.turn_detection(self.settings)
        if isinstance(detection, ServerVad) and isinstance(detection.idle_timeout_ms, int):
            # The client hears the sound at its own pace: silence begins when it has been played.
            self._idle_at_ms = self._now_ms + machine.audio_bytes // BYTES_PER_MS + detection.idle_timeout_ms
        if self._wants_answer:
            self._answer()

    # --- time ------------------------------------------------------------------------------------------------

    def _check_deadlines(self) -> None:
        if self._now_ms >= self._expires_at_ms:
            minutes = config.SESSION_SECONDS // 60
            message = f"Your session hit the maximum duration of {minutes} minutes."
            self._refuse(ProtocolError(message, code="session_expired"))
            self._out += [StopModel(response_id=response_id) for response_id in self._running]
            self._out += [AbortUtterance(item_id=item_id) for item_id in self._transcribing]
            self._out.append(Hangup(code=1001, reason=message))
            self._ended = True
        elif self._idle_at_ms is not None and self._now_ms >= self._idle_at_ms and not self._listening.speaking:
            self._idle_at_ms = None
            item_id, start_ms, end_ms = self._listening.take_silence()
            self._emit(
                wire.InputAudioBufferTimeoutTriggered, audio_start_ms=start_ms, audio_end_ms=end_ms, item_id=item_id
            )
            self._add_speech(item_id, b"", transcript="")
            self._answer()

    # --- the wire --------------------------------------------------------------------------------------------

    def _emit(self, kind: type[E], **fields: Any) -> None:
        self._out.append(Send(event=kind(event_id=self._new_id("event"), **fields)))

    def _send(self, events: Iterable[wire.ServerEvent]) -> None:
        self._out += [Send(event=event) for event in events]

    def _refuse(self, error: ProtocolError, event_id: str | None = None) -> None:
        details = wire.ErrorDetails(
            type=error.type,
            code=error.code,
            message=error.message,
            param=error.param,
            event_id=error.event_id or event_id,
        )
        self._emit(wire.Error, error=details)


def _lacks_transcript(item: Item) -> bool:
    if not isinstance(item, Message):
        return False
    return any(isinstance(part, InputAudio) and not part.transcript for part in item.content)
