"""What an agent session does about all that happens: events, answers of tools and guardrails in, effects out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from duologue.agents.agent import RealtimeAgent
from duologue.agents.calls import OVERDUE, Calls, Decision, Outcome, ToolRules
from duologue.agents.config import Cast, base_fields, changes, fields_of, voice_of
from duologue.agents.effects import (
    Call,
    CheckInput,
    Configure,
    Cut,
    Effect,
    Hook,
    Note,
    Respond,
    SendEvent,
    Tell,
)
from duologue.agents.events import (
    AgentEnd,
    AgentStart,
    AudioInterrupted,
    HandedOver,
    InputAudioTimeoutTriggered,
    InputGuardrailTripped,
    ResponseFailed,
    SessionError,
    SpeechStarted,
    SpeechStopped,
    TranscriptDelta,
    TranscriptDone,
)
from duologue.agents.guardrails import Check, GuardrailSettings, InputGuardrail, Sound
from duologue.agents.remote import RemoteTools
from duologue.agents.spoken import SAFE, Finding, Spoken, hints_of, names_of
from duologue.agents.tools import AgentTool, Verdict
from duologue.client.payloads import ClientError
from duologue.client.settings import merged
from duologue.dialogue.tools import error_text
from duologue.protocol import client_events as ce
from duologue.protocol import server_events as ev
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.items import (
    FunctionCall,
    Message,
    text_of,
)

_NO_VOICE = "the voice {voice!r} of agent {name!r} is not heard: a session keeps its voice once something was said"
_DECLINE = "The user's last words must not be answered ({names}).{hints} Decline in one short sentence."
_NOT_HEARD = "The user's last words could not be understood. Ask the user in one short sentence to say them again."


class Director:
    """One session. `cast` is who speaks now; `fields` are the settings in force, as far as they were set."""

    def __init__(self, cast: Cast, base: Mapping[str, Any], settings: GuardrailSettings, rules: ToolRules) -> None:
        self.cast = cast
        self.spoken = Spoken(settings)
        self.calls = Calls(rules)
        self.remote = RemoteTools(rules)
        self._base = dict(base)
        self.fields = fields_of(self._base, cast, gate=bool(cast.input_guardrails))
        self._unchecked: set[str] = set()
        self._wanted = False

    # --- agents ----------------------------------------------------------------------------------------------

    def begin(self) -> list[Effect]:
        """The session is open."""
        return self._greet()

    def take_over(self, cast: Cast) -> list[Effect]:
        """Another agent speaks from now on, or the same one with other tools and instructions."""
        before, voice = self.cast, voice_of(self.fields)
        self.cast = cast
        change = self._put_in_force()
        effects: list[Effect] = [Configure(change)] if change else []
        if self.spoken.sounded and cast.agent.voice not in (None, voice):
            problem = _NO_VOICE.format(voice=cast.agent.voice, name=cast.agent.name)
            effects.append(Tell(SessionError(error=ClientError(message=problem, grade="benign"))))
        if cast.agent is before.agent:
            return effects
        handed = HandedOver(from_agent=before.agent, to_agent=cast.agent)
        return [*effects, Tell(handed), Hook(agent=cast.agent, name="on_handoff", arguments=(before.agent,))]

    def configured(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """The application changes settings, in any names; returns what of them has to be sent. Raises ConfigError."""
        self._base = merged(self._base, base_fields(change, {}))
        return self._put_in_force()

    def _put_in_force(self) -> dict[str, Any]:
        """What differs between the settings in force and those that should be; they are in force from now on."""
        fields = fields_of(self._base, self.cast, gate=bool(self.cast.input_guardrails))
        if self.spoken.sounded and (voice := voice_of(self.fields)) is not None:
            fields = merged(fields, {"audio": {"output": {"voice": voice}}})
        change = changes(self.fields, fields, sounded=self.spoken.sounded)
        self.fields = fields
        return change

    def handed_over(self, call: Call, cast: Cast) -> list[Effect]:
        """The agent of a handoff is ready."""
        output = msgspec.json.encode({"assistant": cast.agent.name}).decode()
        greeting = self._greet(cast)
        answer = self.calls.handed(call, output, respond=not greeting)
        return [*self.take_over(cast), *answer, *greeting]

    def handoff_failed(self, call: Call, problem: str) -> list[Effect]:
        """The handoff was refused, or its agent could not be made ready."""
        return self.calls.handed(call, error_text(problem))

    def _greet(self, cast: Cast | None = None) -> list[Effect]:
        words = (cast or self.cast).agent.greeting
        return [Respond(instructions=words, verbatim=True, purpose="greeting")] if words else []

    # --- tools -----------------------------------------------------------------------------------------------

    def called(self, response_id: str, wire: FunctionCall) -> list[Effect]:
        """The model calls a tool of ours."""
        return self.calls.called(response_id, wire, self.cast)

    def considered(self, call: Call, tool: AgentTool, decision: Decision) -> list[Effect]:
        """Whether a call may run is known."""
        return self.calls.considered(call, tool, decision)

    def tool_done(self, call: Call, outcome: Outcome) -> list[Effect]:
        """A tool has answered."""
        return self.calls.done(call.call_id, outcome)

    def approve(self, call_id: str, *, always: bool = False) -> list[Effect]:
        """A person allows a call, by its id. Raises ConfigError where it does not wait."""
        if self.remote.waits(call_id):
            return self.remote.settle(call_id, True, always=always)
        return self.calls.approve(call_id, always=always)

    def reject(self, call_id: str, *, always: bool = False, message: str = "") -> list[Effect]:
        """A person forbids a call; `message` is what the model reads. Raises ConfigError where it does not wait."""
        if self.remote.waits(call_id):
            return self.remote.settle(call_id, False, always=always, reason=message)
        return self.calls.reject(call_id, always=always, message=message)

    def overdue(self, call_id: str) -> list[Effect]:
        """Nobody has decided about a call in time: it is refused."""
        if self.remote.waits(call_id):
            return self.remote.settle(call_id, False, reason=OVERDUE)
        return self.calls.overdue(call_id)

    # --- what the user says ----------------------------------------------------------------------------------

    def typed(self, item_id: str, text: str) -> list[Effect]:
        """The user typed something that wants an answer."""
        self._user_spoke()
        if not self.cast.input_guardrails or not text.strip():
            return [Respond()]
        self._unchecked.add(item_id)
        self._wanted = True
        return [CheckInput(item_id=item_id, text=text, cast=self.cast)]

    def must_wait(self, *, committed: bool) -> bool:
        """The application asks for an answer; `committed`: to sound that is about to become an item. True where what the
        user said has to be checked first: the answer follows by itself."""
        if self.cast.input_guardrails and (committed or self._unchecked):
            self._wanted = True
            return True
        return False

    def input_checked(
        self, item_id: str, findings: Sequence[tuple[InputGuardrail, Verdict]], text: str, cast: Cast
    ) -> list[Effect]:
        """The input guardrails have looked: answer, decline, or wait for what is still being checked."""
        if item_id not in self._unchecked:
            return []
        self._unchecked.discard(item_id)
        tripped = [(guardrail, verdict) for guardrail, verdict in findings if verdict.tripped]
        if not tripped:
            return self._answer_user()
        self._wanted = False
        effects: list[Effect] = [
            Tell(
                InputGuardrailTripped(
                    agent=cast.agent, guardrail=guardrail.name, item_id=item_id, text=text, info=verdict.info
                )
            )
            for guardrail, verdict in tripped
        ]
        note = _DECLINE.format(names=names_of(tripped), hints=hints_of(tripped))
        return [*effects, Note(text=note), Respond()]

    def _heard(self, item_id: str, text: str) -> list[Effect]:
        if item_id not in self._unchecked:
            return []
        if not text.strip():
            self._unchecked.discard(item_id)
            return self._answer_user()
        return [CheckInput(item_id=item_id, text=text, cast=self.cast)]

    def _not_heard(self, item_id: str) -> list[Effect]:
        if item_id not in self._unchecked:
            return []
        # What cannot be read cannot be checked, and the model would hear it.
        self._unchecked.discard(item_id)
        self._wanted = False
        gone = SendEvent(ce.ConversationItemDelete(item_id=item_id))
        return [gone, Note(text=_NOT_HEARD), Respond()]

    def _answer_user(self) -> list[Effect]:
        if self._unchecked or not (self._wanted or self._server_hears):
            return []
        self._wanted = False
        return [Respond()]

    @property
    def _server_hears(self) -> bool:
        listening = (self.fields.get("audio") or {}).get("input") or {}
        return bool(listening.get("turn_detection"))

    def interrupted(self) -> list[Effect]:
        """Whatever is being heard ends here; nothing to tell where nothing was said since the last time."""
        item_id, self.spoken.playing = self.spoken.playing, ""
        return [Tell(AudioInterrupted(item_id=item_id))] if item_id else []

    def _user_spoke(self) -> None:
        self.spoken.watch.user_spoke()
        self.calls.user_spoke()

    # --- the model's answers ---------------------------------------------------------------------------------

    def output_checked(self, check: Check, findings: Sequence[Finding], cast: Cast) -> list[Effect]:
        """The output guardrails have looked."""
        return self.spoken.checked(check, findings, cast)

    def hold(self, sound: Sound) -> bool:
        """Whether this sound has to wait for a check."""
        return self.spoken.hold(sound, self.calls.cast_of(sound.response_id, self.cast))

    def server(self, event: ev.ServerEvent | UnknownEvent) -> list[Effect]:
        """Follow what the server tells."""
        match event:
            case (
                ev.ResponseOutputAudioTranscriptDelta(response_id=response_id, item_id=item_id, delta=delta)
                | ev.ResponseOutputTextDelta(response_id=response_id, item_id=item_id, delta=delta)
            ):
                return self.spoken.words(response_id, item_id, delta, self._cast(response_id))
            case ev.ResponseOutputAudioDelta():
                return self.spoken.sound(event)
            case ev.ResponseOutputAudioTranscriptDone(response_id=response_id, item_id=item_id, transcript=text):
                return self.spoken.all_words(response_id, item_id, text, self._cast(response_id))
            case ev.ResponseOutputTextDone(response_id=response_id, item_id=item_id, text=text):
                return self.spoken.all_words(response_id, item_id, text, self._cast(response_id))
            case ev.ResponseOutputAudioDone():
                return self.spoken.sound_ended(event)
            case ev.OutputAudioBufferStarted(response_id=response_id):
                return self.spoken.call_sounds(response_id)
            case ev.OutputAudioBufferStopped() | ev.OutputAudioBufferCleared():
                self.spoken.sounding = False
                return []
            case ev.ResponseContentPartAdded(response_id=response_id, item_id=item_id):
                self.spoken.makes(response_id, item_id)
                return []
            case ev.ResponseCreated(response=response):
                return self._began(response.id, (response.metadata or {}).get("purpose", ""))
            case ev.ResponseDone():
                return self._ended(event)
            case ev.ConversationItemDone(item=item) | ev.ResponseOutputItemDone(item=item):
                return self.remote.item(item, self.cast.agent)
            case _:
                return self._listening(event)

    def agent_of(self, response_id: str | None) -> RealtimeAgent:
        """Who speaks in a response; the current agent where that is not known."""
        return self.cast.agent if response_id is None else self._cast(response_id).agent

    def _cast(self, response_id: str) -> Cast:
        return self.calls.cast_of(response_id, self.cast)

    def _began(self, response_id: str, purpose: str) -> list[Effect]:
        self.calls.response_began(response_id, self.cast)
        if purpose == SAFE:
            self.spoken.watch.exempt(response_id)
        started = AgentStart(agent=self.cast.agent, response_id=response_id)
        return [Tell(started), Hook(agent=self.cast.agent, name="on_start")]

    def _ended(self, event: ev.ResponseDone) -> list[Effect]:
        response = event.response
        agent = self._cast(response.id).agent
        text = " ".join(words for item in response.output if isinstance(item, Message) and (words := text_of(item)))
        effects = self.spoken.response_done(response.id)
        if response.status in ("failed", "incomplete"):
            details = response.status_details
            reason = details.reason if details is not None and isinstance(details.reason, str) else ""
            if details is not None and details.error and isinstance(details.error.message, str):
                reason = details.error.message
            effects.append(Tell(ResponseFailed(response_id=response.id, status=response.status, reason=reason)))
        effects.append(Tell(AgentEnd(agent=agent, response_id=response.id, text=text, status=response.status)))
        return [*effects, Hook(agent=agent, name="on_end", arguments=(text,))]

    def _listening(self, event: ev.ServerEvent | UnknownEvent) -> list[Effect]:
        match event:
            case ev.InputAudioBufferSpeechStarted(item_id=item_id):
                self._user_spoke()
                return [Tell(SpeechStarted(item_id=item_id)), Cut(barge_in=True), *self.interrupted()]
            case ev.InputAudioBufferSpeechStopped(item_id=item_id):
                return [Tell(SpeechStopped(item_id=item_id))]
            case ev.InputAudioBufferCommitted(item_id=item_id):
                if self.cast.input_guardrails:
                    self._unchecked.add(item_id)
                return []
            case ev.InputAudioTranscriptionDelta(item_id=item_id, delta=delta):
                return [Tell(TranscriptDelta(role="user", item_id=item_id, delta=delta))]
            case ev.InputAudioTranscriptionCompleted(item_id=item_id, transcript=text):
                return [Tell(TranscriptDone(role="user", item_id=item_id, text=text)), *self._heard(item_id, text)]
            case ev.InputAudioTranscriptionFailed(item_id=item_id):
                return self._not_heard(item_id)
            case ev.InputAudioBufferTimeoutTriggered(item_id=item_id):
                return [Tell(InputAudioTimeoutTriggered(item_id=item_id))]
            case _:
                return []
