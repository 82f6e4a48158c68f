"""All responses of a session: which one is active, what each still waits for, and when the next may begin."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from duologue.errors import ProtocolError
from duologue.protocol import server_events as wire
from duologue.protocol.client_events import ConversationItemTruncate
from duologue.protocol.responses import ResponseCreateParams
from duologue.protocol.session import AnySession, RealtimeSession, ServerVad
from duologue.server import config
from duologue.server.bucket import TokenBucket
from duologue.server.commands import ReportDropped, StartModel, StopModel, StopRemote
from duologue.server.conversation import Conversation
from duologue.server.input_buffer import BYTES_PER_MS
from duologue.server.inputs import (
    ModelDone,
    ModelFailed,
    ModelOutput,
    ModelText,
    ModelToolCall,
    Played,
    RemoteAnswered,
    TranscriptFailed,
    VoiceAudio,
    VoiceMark,
)
from duologue.server.mcp import choose, refuse_servers
from duologue.server.outbox import Outbox
from duologue.server.output_buffer import OutputBuffer
from duologue.server.plan import Plan, make_plan
from duologue.server.remote import RemoteServers
from duologue.server.response import ResponseMachine
from duologue.server.rules import Rules
from duologue.server.transcripts import Transcripts
from duologue.server.window import Window


class _Running(Struct, kw_only=True):
    plan: Plan
    machine: ResponseMachine
    waits_for: set[str]
    done: ModelDone | None = None
    """The model has ended; remote calls may still be under way."""


class Responses:
    """Starts, feeds and ends the responses of one session."""

    def __init__(
        self,
        outbox: Outbox,
        conversation: Conversation,
        transcripts: Transcripts,
        remote: RemoteServers,
        rules: Rules,
        session: AnySession,
    ) -> None:
        self.settings = session
        self.active_id: str | None = None
        self.idle_at_ms: int | None = None
        """When the user has been silent for too long; None while nobody counts."""
        self._out = outbox
        self._conversation = conversation
        self._conversation_id = outbox.new_id("conv")
        self._transcripts = transcripts
        self._remote = remote
        self._can_connect, self._reach = rules.remote_tools, rules.reach
        self._window = Window(rules.context_tokens)
        self._bucket = TokenBucket(rules.tokens_per_minute, outbox.now_ms)
        self._running: dict[str, _Running] = {}
        self._wants_answer = False
        self._audible_until_ms = outbox.now_ms
        self._output = OutputBuffer(outbox) if rules.plays else None
        """The sound that the server plays itself."""

    @property
    def running_ids(self) -> list[str]:
        """Every response that is not over."""
        return list(self._running)

    @property
    def audible(self) -> bool:
        """Whether the assistant is speaking or about to: an answer is under way, or its sound is still being played.

        Estimated as if the client played each piece of sound as soon as it came.
        """
        return self.active_id is not None or self._out.now_ms < self._audible_until_ms

    def hushed(self) -> None:
        """The client stopped its playback."""
        self._audible_until_ms = self._out.now_ms

    # --- beginning -------------------------------------------------------------------------------------------

    def answer(self) -> None:
        """Answer a finished turn; where a response may not be interrupted, after it."""
        if self.active_id is not None:
            self._wants_answer = True
            return
        self.respond(ResponseCreateParams())

    def respond(self, params: ResponseCreateParams) -> None:
        """Begin a response. Raises ProtocolError where that is not possible."""
        if not isinstance(self.settings, RealtimeSession):
            raise ProtocolError(
                "A transcription session gives no responses: connect without 'intent=transcription' for a conversation.",
                code="invalid_value",
                param="type",
            )
        if params.conversation != "none" and self.active_id is not None:
            raise ProtocolError(
                f"Conversation already has an active response in progress: {self.active_id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        refuse_servers(self._can_connect, self._reach, params.tools, "response.tools")
        new_id = self._out.new_id
        plan = make_plan(params, self.settings, self._conversation, new_id)
        response = plan.response(new_id("resp"), self._conversation_id if plan.in_conversation else None)
        machine = ResponseMachine(response, self._conversation, new_id, plan.audio_format)
        running = _Running(plan=plan, machine=machine, waits_for=set())
        self._running[response.id] = running
        if plan.in_conversation:
            self._wants_answer, self.idle_at_ms, self.active_id = False, None, response.id
        self._out.send(machine.start())
        self._remote.name(plan.servers)
        for item in plan.own_items or ():
            if str(item.id) in plan.speech_ids and self._conversation.is_aside(str(item.id)):
                self._out.do(*self._transcripts.listen(item))
        running.waits_for = {item_id for item_id in plan.speech_ids if self._transcripts.is_pending(item_id)}
        running.waits_for |= self._remote.pending(plan.servers)
        lost = self._transcripts.lost(plan.newest_speech_id)
        if lost:
            self._finish(response.id, machine.fail(lost.code, lost.message))
        elif not running.waits_for:
            self._start_model(running)

    def _start_model(self, running: _Running) -> None:
        plan, machine, response_id = running.plan, running.machine, running.machine.response.id
        if wait_s := self._bucket.empty_for_s(self._out.now_ms):
            message = f"Rate limit reached for tokens: limit {self._bucket.limit} a minute. Try again in {wait_s} s."
            self._finish(response_id, machine.fail("rate_limit_exceeded", message, "rate_limit_exceeded"))
            return
        names = [tool.name for tool in plan.tools]
        offer = self._remote.offer(plan.servers, names, may_ask=plan.in_conversation)
        choice, tools = choose(plan.tool_choice, plan.tools, offer)
        plan = running.plan = replace(plan, tools=tools, tool_choice=choice)
        machine.may_call(offer.remote)
        try:
            # Read the conversation now: the transcripts have come since the response was created.
            reading = self._window.read(
                plan.items(self._conversation),
                plan.preamble,
                self._conversation.spoken_ms,
                plan.truncation,
                in_conversation=plan.in_conversation and plan.own_items is None,
            )
        except ProtocolError as full:
            self._finish(response_id, machine.fail(full.code or "server_error", full.message, full.type))
            return
        machine.reads(reading.read)
        if reading.dropped_ids:
            self._out.do(ReportDropped(response_id=response_id, item_ids=reading.dropped_ids))
        self._out.do(StartModel(response_id=response_id, request=plan.request(reading.items), voice=plan.voice))

    def forget(self, item_id: str) -> None:
        """The item was deleted, or put in anew."""
        self._window.forget(item_id)

    # --- transcripts -----------------------------------------------------------------------------------------

    def heard(self, item_id: str) -> None:
        """A transcript or a listing has come: what waited for it may begin."""
        for running in list(self._running.values()):
            if item_id in running.waits_for:
                running.waits_for.discard(item_id)
                if not running.waits_for:
                    self._start_model(running)

    def unheard(self, failure: TranscriptFailed) -> None:
        """A transcript will never come: what waited for it fails."""
        for response_id, running in list(self._running.items()):
            if failure.item_id in running.waits_for:
                self._finish(response_id, running.machine.fail(failure.code, failure.message))

    # --- going on and ending ---------------------------------------------------------------------------------

    def model_output(self, output: ModelOutput) -> None:
        """Model or voice produced something."""
        running = self._running.get(output.response_id)
        if running is None:
            return  # late output of a response that is over
        machine = running.machine
        match output:
            case ModelText(text=text):
                self._out.send(machine.text(text))
            case ModelToolCall():
                self._out.send(machine.tool_call(output.index, output.name, output.arguments))
            case VoiceAudio(audio=audio):
                self._speak(machine, audio)
                if running.plan.in_conversation:
                    begin_ms = max(self._audible_until_ms, self._out.now_ms)
                    self._audible_until_ms = begin_ms + len(audio) // BYTES_PER_MS
            case VoiceMark(characters=characters):
                machine.mark(characters)
            case ModelDone():
                running.done = output
                self._out.send(machine.written(output))
            case ModelFailed(code=code, message=message):
                self._hang_up_calls(machine)
                self._finish(output.response_id, machine.fail(code, message))
                return
        self._out.do(*machine.take_calls())
        self._remote.asked(machine.take_requests())
        self._end_if_over(running)

    def _speak(self, machine: ResponseMachine, audio: bytes) -> None:
        events = machine.audio(audio)
        if self._output is None or machine.speaking_id is None:
            self._out.send(events)
            return
        self._out.send(event for event in events if not isinstance(event, wire.ResponseOutputAudioDelta))
        self._output.write(machine.response.id, machine.speaking_id, audio)

    def played(self, progress: Played) -> None:
        """The sound that the server plays went on."""
        if self._output is not None:
            self._output.played(progress.clears, progress.samples)

    def silence(self) -> None:
        """Stop what the server plays, and cut what was not heard. Raises ProtocolError where the client plays."""
        if self._output is None:
            raise ProtocolError(
                "Invalid value: 'output_audio_buffer.clear'. It is for WebRTC and SIP, where the server plays.",
                code="invalid_value",
                param="type",
            )
        self.hushed()
        for cut in self._output.clear():
            try:
                self.truncate(cut.item_id, cut.content_index, cut.audio_end_ms)
            except ProtocolError:  # deleted meanwhile, or of a response of its own: the conversation has no such item
                continue

    def called(self, news: RemoteAnswered) -> None:
        """Something came of a remote call."""
        for running in list(self._running.values()):
            if news.item_id in running.machine.calling:
                self._out.send(running.machine.answered(news.item_id, news.result))
                self._end_if_over(running)

    def _end_if_over(self, running: _Running) -> None:
        if running.done is not None and not running.machine.calling:
            self._finish(running.machine.response.id, running.machine.finish(running.done))

    def interrupt(self) -> None:
        """The user talks over the active response, or over the sound of one."""
        self.hushed()
        if self._output is not None:
            self.silence()
        if self.active_id is not None:
            self._stop(self.active_id, "turn_detected")

    def cancel(self, response_id: str | None) -> None:
        """The client wants a response to stop; None means the active one. Raises ProtocolError."""
        wanted = response_id or self.active_id
        if wanted is None or wanted not in self._running:
            raise ProtocolError("Cancellation failed: no active response found", code="response_cancel_not_active")
        self._stop(wanted, "client_cancelled")

    def _stop(self, response_id: str, reason: str) -> None:
        if response_id == self.active_id:
            self.hushed()
        machine = self._running[response_id].machine
        self._out.do(StopModel(response_id=response_id))
        self._hang_up_calls(machine)
        self._finish(response_id, machine.cancel(reason))

    def _hang_up_calls(self, machine: ResponseMachine) -> None:
        self._out.do(*(StopRemote(item_id=item_id) for item_id in machine.calling))

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """Cut what was said at what was heard, also where it is being spoken just now. Raises ProtocolError."""
        speaking = [r.machine for r in self._running.values() if r.machine.speaking_id == item_id]
        if speaking and content_index == 0:
            speaking[0].truncate(audio_end_ms)
        else:
            self._conversation.truncate(
                ConversationItemTruncate(item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms)
            )
        self._out.emit(
            wire.ConversationItemTruncated, item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms
        )

    def _finish(self, response_id: str, last_events: list[wire.ServerEvent]) -> None:
        running = self._running.pop(response_id)
        self._conversation.release(running.plan.own_items or ())
        self._out.send(last_events)
        self._out.do(running.machine.estimate)
        if self._output is not None:
            self._output.ended(response_id)
        usage = running.machine.response.usage
        self._bucket.spend(usage.total_tokens if usage else 0, self._out.now_ms)
        self._out.emit(wire.RateLimitsUpdated, rate_limits=(self._bucket.report(self._out.now_ms),))
        if response_id != self.active_id:
            return
        self.active_id = None
        detection = config.turn_detection(self.settings)
        if isinstance(detection, ServerVad) and isinstance(detection.idle_timeout_ms, int):
            # The client hears the sound at its own pace: silence begins when it has been played.
            quiet_ms = max(self._audible_until_ms, self._out.now_ms)
            self.idle_at_ms = quiet_ms + detection.idle_timeout_ms
        if self._wants_answer:
            self.answer()
