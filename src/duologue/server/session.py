"""The session machine: everything that happens goes in as an `Input`, everything to be done comes out as `Command`s.

Pure: it never waits, reads no clock and makes no id of its own. It composes the listening side, the conversation and
the running responses; `handle` is the only door.
"""

from __future__ import annotations

from typing import assert_never

from msgspec import UNSET

from duologue.errors import ProtocolError
from duologue.ids import IdSource
from duologue.protocol import client_events as said
from duologue.protocol import server_events as wire
from duologue.protocol.items import McpApprovalResponse
from duologue.protocol.responses import ResponseCreateParams
from duologue.protocol.session import AnySession, RealtimeSession
from duologue.server import config, mcp
from duologue.server.cleaning import Cleaning, refuse_noise_reduction
from duologue.server.commands import AbortUtterance, Command, Hangup, StopModel
from duologue.server.conversation import Conversation
from duologue.server.input_buffer import Ledger
from duologue.server.inputs import (
    ClientErred,
    ClientSent,
    Heard,
    Input,
    ModelDone,
    ModelFailed,
    ModelText,
    ModelToolCall,
    Played,
    RemoteAnswered,
    RemoteListed,
    SpeechFrames,
    Tick,
    TranscriptFailed,
    TranscriptGuess,
    TranscriptReady,
    TurnJudged,
    VoiceAudio,
    VoiceMark,
)
from duologue.server.listening import Listening
from duologue.server.outbox import Outbox
from duologue.server.remote import RemoteServers
from duologue.server.responses import Responses
from duologue.server.rules import Rules
from duologue.server.transcripts import Transcripts
from duologue.server.turns import Turns


class Session:
    """One client's session, from `session.created` to the end of the connection."""

    def __init__(self, session: AnySession, *, new_id: IdSource, now_ms: int, rules: Rules | None = None) -> None:
        """Raises ProtocolError where the settings need an engine that is not there."""
        rules = rules or Rules()
        refuse_noise_reduction(rules.noise, session)
        self.settings = session
        self.conversation = Conversation(sees_images=rules.sees_images, kept_audio_bytes=rules.kept_audio_bytes)
        self._out = Outbox(new_id, now_ms)
        self._transcripts = Transcripts(self._out, self.conversation)
        self._remote = RemoteServers(self._out, self.conversation)
        self._responses = Responses(self._out, self.conversation, self._transcripts, self._remote, rules, session)
        self._can_connect, self._reach, self._noise = rules.remote_tools, rules.reach, rules.noise
        listening = Listening(new_id, frame_ms=rules.frame_ms)
        cleaning = Cleaning(rules.noise)
        self._turns = Turns(self._out, self.conversation, self._transcripts, self._responses, listening, cleaning)
        self._session_seconds = rules.session_seconds
        self._expires_at_ms = now_ms + rules.session_seconds * 1000
        self._ended = False

    # --- the door --------------------------------------------------------------------------------------------

    def open(self) -> list[Command]:
        """The first commands: `session.created`, and the detector's start."""
        self._out.begin(self._out.now_ms)
        self._out.emit(wire.SessionCreated, session=mcp.shown(self.settings))
        self._configure()
        self._remote.name(mcp.servers_of(self.settings))
        return self._out.commands

    def handle(self, happened: Input, now_ms: int) -> list[Command]:
        """What is to be done about something that happened at `now_ms`. Never raises on any sequence of inputs."""
        self._out.begin(now_ms)
        if self._ended:
            return self._out.commands
        self._check_deadlines()
        match happened:
            case _ if self._ended:
                pass
            case ClientSent(event=event):
                self._client_event(event)
            case ClientErred(error=error):
                self._out.refuse(error)
            case Heard(audio=audio):
                self._turns.hear(audio)
            case Played():
                self._responses.played(happened)
            case SpeechFrames(probabilities=probabilities):
                self._turns.frames(probabilities)
            case TurnJudged(item_id=item_id, score=score):
                self._turns.listening.judged(item_id, score)
            case TranscriptGuess() | TranscriptReady() | TranscriptFailed():
                self._turns.transcribed(happened)
            case ModelText() | ModelToolCall() | VoiceAudio() | VoiceMark() | ModelDone() | ModelFailed():
                self._responses.model_output(happened)
            case RemoteListed():
                self._remote.listed(happened)
                self._configure()  # the user may now speak of more
                self._responses.heard(happened.item_id)
            case RemoteAnswered(item_id=item_id, result=result):
                if not self._remote.answered(item_id, result):
                    self._responses.called(happened)
            case Tick():
                pass
            case _:
                assert_never(happened)
        self.conversation.trim_sounds()
        return self._out.commands

    def next_deadline_ms(self) -> int | None:
        """When a `Tick` is due, None once the session has ended."""
        if self._ended:
            return None
        idle_at_ms = self._responses.idle_at_ms
        return self._expires_at_ms if idle_at_ms is None else min(idle_at_ms, self._expires_at_ms)

    @property
    def active_response_id(self) -> str | None:
        """The response that runs in the default conversation."""
        return self._responses.active_id

    @property
    def speaking(self) -> bool:
        """Whether turn detection hears the user speak just now."""
        return self._turns.listening.speaking

    def audio_ledger(self) -> Ledger:
        """Where the user's sound went."""
        return self._turns.listening.buffer.ledger()

    # --- client events ---------------------------------------------------------------------------------------

    def _client_event(self, event: said.ClientEvent) -> None:
        try:
            self._obey(event)
        except ProtocolError as error:
            self._out.refuse(error, None if event.event_id is UNSET else event.event_id)

    def _obey(self, event: said.ClientEvent) -> None:
        match event:
            case said.InputAudioBufferAppend(audio=audio):
                self._turns.append(audio)
            case said.InputAudioBufferCommit():
                self._turns.commit()
            case said.InputAudioBufferClear():
                self._turns.clear()
            case said.OutputAudioBufferClear():
                self._responses.silence()
            case said.SessionUpdate(session=update):
                self._update(update)
            case said.ConversationItemCreate():
                self._create_item(event)
            case said.ConversationItemRetrieve(item_id=item_id):
                heard, spoken = config.input_format(self.settings), config.output_format(self.settings)
                item = self.conversation.retrieve(item_id, heard, spoken)
                self._out.emit(wire.ConversationItemRetrieved, item=item)
            case said.ConversationItemDelete(item_id=item_id):
                self.conversation.delete(item_id)
                self._transcripts.forget(item_id)
                self._responses.forget(item_id)
                self._out.emit(wire.ConversationItemDeleted, item_id=item_id)
            case said.ConversationItemTruncate():
                self._responses.truncate(event.item_id, event.content_index, event.audio_end_ms)
                self._responses.hushed()
            case said.ResponseCreate(response=params):
                self._responses.respond(params if isinstance(params, ResponseCreateParams) else ResponseCreateParams())
            case said.ResponseCancel(response_id=response_id):
                self._responses.cancel(response_id or None)
            case _:
                assert_never(event)

    def _update(self, update: AnySession) -> None:
        tools = update.tools if isinstance(update, RealtimeSession) else None
        mcp.refuse_servers(self._can_connect, self._reach, tools, "session.tools")
        refuse_noise_reduction(self._noise, update)
        self.settings = config.updated(
            self.settings,
            update,
            has_spoken=self.conversation.has_assistant_audio,
            busy=self._responses.active_id is not None,
        )
        self._out.emit(wire.SessionUpdated, session=mcp.shown(self.settings))
        self._configure()
        self._remote.name(mcp.server_tools(tools), again=True)

    def _configure(self) -> None:
        self._responses.settings = self.settings
        heard = self._remote.as_heard(self.settings)
        self._out.do(*self._transcripts.configure(heard))
        self._turns.configure(heard)

    def _create_item(self, event: said.ConversationItemCreate) -> None:
        if isinstance(event.item, McpApprovalResponse):
            self._remote.check(event.item)
        audio_format = config.input_format(self.settings)
        item, previous = self.conversation.create(event, self._out.new_id, audio_format)
        item_id = str(item.id)
        abandoned = self._transcripts.abandon(item_id)
        self._out.do(*abandoned)
        self._out.emit(wire.ConversationItemAdded, previous_item_id=previous, item=item)
        self._out.emit(wire.ConversationItemDone, previous_item_id=previous, item=item)
        self._responses.forget(item_id)
        if isinstance(item, McpApprovalResponse):
            self._remote.decided(item)
        self._out.do(*self._transcripts.listen(item))
        if abandoned and not self._transcripts.is_pending(item_id):
            self._responses.heard(item_id)

    # --- time ------------------------------------------------------------------------------------------------

    def _check_deadlines(self) -> None:
        idle_at_ms = self._responses.idle_at_ms
        if self._out.now_ms >= self._expires_at_ms:
            minutes, seconds = divmod(self._session_seconds, 60)
            length = f"{self._session_seconds} seconds" if seconds else f"{minutes} minutes"
            message = f"Your session hit the maximum duration of {length}."
            self._out.refuse(ProtocolError(message, code="session_expired"))
            self._out.do(*(StopModel(response_id=response_id) for response_id in self._responses.running_ids))
            self._out.do(*(AbortUtterance(item_id=item_id) for item_id in self._transcripts.pending()))
            self._out.do(Hangup(code=1001, reason=message))
            self._ended = True
        elif idle_at_ms is not None and self._out.now_ms >= idle_at_ms and not self._turns.listening.speaking:
            self._turns.idle()
