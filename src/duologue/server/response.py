"""One response from `response.created` to `response.done`: model output in, events out, in the order of the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from duologue.ids import IdSource
from duologue.protocol import server_events as wire
from duologue.protocol.items import (
    AudioPart,
    FunctionCall,
    Item,
    ItemStatus,
    McpApprovalRequest,
    McpCall,
    McpError,
    Message,
    OutputAudio,
    OutputText,
    TextPart,
)
from duologue.protocol.responses import FailureDetails, InputTokens, Response, StatusDetails
from duologue.protocol.session import AudioFormat
from duologue.server.commands import CallRemote, ReportEstimate
from duologue.server.conversation import Conversation, check_cut
from duologue.server.formats import Encoder
from duologue.server.heard import Mark, words_heard
from duologue.server.input_buffer import BYTES_PER_MS
from duologue.server.inputs import ModelDone
from duologue.server.mcp import RemoteTool, arguments_of, ended, failure, new_call
from duologue.server.sounds import Sound
from duologue.server.usage import count_output, estimate_in, settle

E = TypeVar("E", bound=wire.ServerEvent)


class _OpenMessage(Struct, kw_only=True):
    item_id: str
    index: int
    text: list[str] = field(default_factory=list)
    encoder: Encoder
    audio: bytearray = field(default_factory=bytearray)
    marks: list[Mark] = field(default_factory=list)
    marked: int = 0
    cut_ms: int | None = None


class _OpenCall(Struct, kw_only=True):
    item_id: str
    index: int
    number: int
    name: str
    call_id: str
    remote: RemoteTool | None
    """A tool that the server itself calls."""
    arguments: list[str] = field(default_factory=list)


class ResponseMachine:
    """A running response. Out-of-band ones (`conversation_id` null) leave the conversation alone."""

    def __init__(
        self, response: Response, conversation: Conversation, new_id: IdSource, audio_format: AudioFormat
    ) -> None:
        self.response = response
        self.estimate = ReportEstimate(input_tokens=0, output_tokens=0)
        """Of the usage, once the response has ended."""
        self._conversation = conversation
        self._read = InputTokens()
        self._new_id = new_id
        self._format = audio_format
        self._speaks = response.output_modalities == ("audio",)
        self._open: _OpenMessage | _OpenCall | None = None
        self._output: list[Item] = []
        self._sounds_ms: dict[str, int] = {}
        self._remote: Mapping[str, RemoteTool] = {}
        self._calling: dict[str, int] = {}
        self._calls: list[CallRemote] = []
        self._requests: dict[str, RemoteTool] = {}

    @property
    def calling(self) -> list[str]:
        """Ids of the remote calls under way: the response is not over before them."""
        return list(self._calling)

    @property
    def in_conversation(self) -> bool:
        """Whether its items join the default conversation."""
        return self.response.conversation_id is not None

    def _event(self, kind: type[E], **fields: Any) -> E:
        return kind(event_id=self._new_id("event"), **fields)

    def start(self) -> list[wire.ServerEvent]:
        """The model may begin."""
        return [self._event(wire.ResponseCreated, response=self.response)]

    def reads(self, read: InputTokens) -> None:
        """The model has begun: this is what it reads."""
        self._read = read

    def may_call(self, remote: Mapping[str, RemoteTool]) -> None:
        """These functions are the server's own to call."""
        self._remote = remote

    # --- written and spoken text -----------------------------------------------------------------------------

    def text(self, delta: str) -> list[wire.ServerEvent]:
        """The model wrote more."""
        events, message = self._message()
        message.text.append(delta)
        kind = wire.ResponseOutputAudioTranscriptDelta if self._speaks else wire.ResponseOutputTextDelta
        return [*events, self._event(kind, **self._content(message), delta=delta)]

    def audio(self, audio: bytes) -> list[wire.ServerEvent]:
        """The voice spoke more. A response in writing has no voice."""
        if not self._speaks:
            return []
        events, message = self._message()
        message.audio += audio
        where = self._content(message)
        return events + [
            self._event(wire.ResponseOutputAudioDelta, **where, delta=delta) for delta in message.encoder.deltas(audio)
        ]

    def mark(self, characters: int) -> list[wire.ServerEvent]:
        """All sound of the next `characters` of the text has come."""
        if isinstance(self._open, _OpenMessage):
            self._open.marked += characters
            mark = Mark(audio_ms=len(self._open.audio) / BYTES_PER_MS, characters=self._open.marked)
            self._open.marks.append(mark)
        return []

    def _message(self) -> tuple[list[wire.ServerEvent], _OpenMessage]:
        if isinstance(self._open, _OpenMessage):
            return [], self._open
        events = self._close("completed")
        message = _OpenMessage(item_id=self._new_id("item"), index=len(self._output), encoder=Encoder(self._format))
        self._open = message
        empty = Message(id=message.item_id, status="in_progress", role="assistant", content=())
        part = AudioPart() if self._speaks else TextPart()
        events += self._added(message, empty)
        events.append(self._event(wire.ResponseContentPartAdded, **self._content(message), part=part))
        return events, message

    # --- tool calls ------------------------------------------------------------------------------------------

    def tool_call(self, number: int, name: str | None, arguments: str) -> list[wire.ServerEvent]:
        """The model wrote more of its call `number`; its first piece opens an item."""
        events: list[wire.ServerEvent] = []
        call = self._open
        if not isinstance(call, _OpenCall) or call.number != number:
            events = self._close("completed")
            call = _OpenCall(
                item_id=self._new_id("item"),
                index=len(self._output),
                number=number,
                name=name or "",
                call_id=self._new_id("call"),
                remote=self._remote.get(name or ""),
            )
            self._open = call
            if call.remote is None:
                empty = FunctionCall(id=call.item_id, status="in_progress", call_id=call.call_id, name=call.name)
                events += self._added(call, empty)
            elif not call.remote.asks_first:
                events += self._added(call, new_call(call.item_id, call.remote))
        if arguments:
            call.arguments.append(arguments)
            events += self._more_arguments(call, arguments)
        return events

    def _more_arguments(self, call: _OpenCall, delta: str) -> list[wire.ServerEvent]:
        if call.remote is None:
            kind = wire.ResponseFunctionCallArgumentsDelta
            return [self._event(kind, **self._place(call), call_id=call.call_id, delta=delta)]
        if call.remote.asks_first:
            return []  # the whole call is asked for at once
        return [self._event(wire.ResponseMcpCallArgumentsDelta, **self._place(call), delta=delta, obfuscation="")]

    def take_calls(self) -> list[CallRemote]:
        """The remote calls to begin now."""
        calls, self._calls = self._calls, []
        return calls

    def take_requests(self) -> dict[str, RemoteTool]:
        """The calls that now wait for the client's approval, by the ids of their requests."""
        requests, self._requests = self._requests, {}
        return requests

    def answered(self, item_id: str, result: str | McpError) -> list[wire.ServerEvent]:
        """Something came of a remote call."""
        index = self._calling.pop(item_id, None)
        if index is None:
            return []
        return self._call_ended(index, result)

    # --- endings ---------------------------------------------------------------------------------------------

    def written(self, done: ModelDone) -> list[wire.ServerEvent]:
        """The model wrote its last word; remote calls may still be under way."""
        return self._close("completed" if done.reason == "stop" else "incomplete")

    def finish(self, done: ModelDone) -> list[wire.ServerEvent]:
        """Model and voice are done."""
        if done.reason == "stop":
            return self._end("completed", None, done)
        reason = "max_output_tokens" if done.reason == "length" else "content_filter"
        return self._end("incomplete", StatusDetails(type="incomplete", reason=reason), done)

    def cancel(self, reason: str) -> list[wire.ServerEvent]:
        """Stop for `turn_detected` or `client_cancelled`."""
        return self._end("cancelled", StatusDetails(type="cancelled", reason=reason), None)

    def fail(self, code: str, message: str, kind: str = "server_error") -> list[wire.ServerEvent]:
        """An engine could not go on, or the response may not begin."""
        error = FailureDetails(type=kind, code=code, message=message)
        return self._end("failed", StatusDetails(type="failed", error=error), None)

    def _end(self, status: Any, details: StatusDetails | None, done: ModelDone | None) -> list[wire.ServerEvent]:
        events = self._close("completed" if status == "completed" else "incomplete")
        for item_id in self.calling:
            events += self.answered(item_id, failure("tool_execution_error", "The response ended before the call did."))
        said = count_output(self._output, lambda item: self._sounds_ms.get(str(item.id), 0))
        nothing_read = done is None and not self._output  # stopped, or failed, before the model said a word
        usage = settle(InputTokens() if nothing_read else self._read, said, done)
        self.estimate = estimate_in(usage, done)
        self.response = replace(
            self.response, status=status, status_details=details, output=tuple(self._output), usage=usage
        )
        return [*events, self._event(wire.ResponseDone, response=self.response)]

    # --- truncation while still being spoken -----------------------------------------------------------------

    @property
    def speaking_id(self) -> str | None:
        """The item that is being spoken just now."""
        return self._open.item_id if self._speaks and isinstance(self._open, _OpenMessage) else None

    def truncate(self, audio_end_ms: int) -> None:
        """Remember where the item being spoken is to be cut once it ends. Raises ProtocolError."""
        assert isinstance(self._open, _OpenMessage)
        check_cut(len(self._open.audio), audio_end_ms)
        self._open.cut_ms = audio_end_ms

    # --- shared ----------------------------------------------------------------------------------------------

    def _place(self, item: _OpenMessage | _OpenCall) -> dict[str, Any]:
        return {"response_id": self.response.id, "item_id": item.item_id, "output_index": item.index}

    def _content(self, message: _OpenMessage) -> dict[str, Any]:
        return {**self._place(message), "content_index": 0}

    def _added(self, opened: _OpenMessage | _OpenCall, item: Item) -> list[wire.ServerEvent]:
        events: list[wire.ServerEvent] = [
            self._event(
                wire.ResponseOutputItemAdded, response_id=self.response.id, output_index=opened.index, item=item
            )
        ]
        if self.in_conversation:
            previous = self._conversation.history.last_id
            self._conversation.history.append(opened.item_id, item)
            events.append(self._event(wire.ConversationItemAdded, previous_item_id=previous, item=item))
        return events

    def _close(self, status: ItemStatus) -> list[wire.ServerEvent]:
        opened, self._open = self._open, None
        match opened:
            case None:
                return []
            case _OpenMessage():
                events, item = self._close_message(opened, status)
            case _OpenCall(remote=RemoteTool() as remote):
                return self._close_remote(opened, remote, whole=status == "completed")
            case _OpenCall():
                events, item = self._close_call(opened, status)
        self._output.append(item)
        return events + self._done(opened.index, item)

    def _done(self, index: int, item: Item) -> list[wire.ServerEvent]:
        events: list[wire.ServerEvent] = []
        history, item_id = self._conversation.history, str(item.id)
        if self.in_conversation and item_id in history:
            previous = history.previous_id(item_id)
            events.append(self._event(wire.ConversationItemDone, previous_item_id=previous, item=item))
        kind = wire.ResponseOutputItemDone
        return [*events, self._event(kind, response_id=self.response.id, output_index=index, item=item)]

    def _close_message(self, opened: _OpenMessage, status: ItemStatus) -> tuple[list[wire.ServerEvent], Item]:
        text, where = "".join(opened.text), self._content(opened)
        events: list[wire.ServerEvent]
        if self._speaks:
            events = [
                self._event(wire.ResponseOutputAudioDone, **where),
                self._event(wire.ResponseOutputAudioTranscriptDone, **where, transcript=text),
                self._event(wire.ResponseContentPartDone, **where, part=AudioPart(transcript=text)),
            ]
            content: OutputAudio | OutputText = OutputAudio(transcript=text)
        else:
            events = [
                self._event(wire.ResponseOutputTextDone, **where, text=text),
                self._event(wire.ResponseContentPartDone, **where, part=TextPart(text=text)),
            ]
            content = OutputText(text=text)
        item = Message(id=opened.item_id, status=status, role="assistant", content=(content,))
        self._sounds_ms[opened.item_id] = len(opened.audio) // BYTES_PER_MS
        self._remember(opened, item)
        return events, item

    def _remember(self, opened: _OpenMessage, item: Message) -> None:
        """Keep what the model said in the conversation, as far as it was heard, unless the client deleted it meanwhile."""
        if not self.in_conversation or opened.item_id not in self._conversation.history:
            return
        audio, marks = bytes(opened.audio), tuple(opened.marks)
        if opened.cut_ms is not None:
            heard = words_heard("".join(opened.text), marks, opened.cut_ms)
            item = replace(item, content=(OutputAudio(transcript=heard),))
            audio = audio[: opened.cut_ms * BYTES_PER_MS]
        self._conversation.history.replace(opened.item_id, item)
        if self._speaks:
            self._conversation.set_sound(opened.item_id, Sound(audio=audio, marks=marks))

    def _close_call(self, opened: _OpenCall, status: ItemStatus) -> tuple[list[wire.ServerEvent], Item]:
        arguments = "".join(opened.arguments)
        done = self._event(
            wire.ResponseFunctionCallArgumentsDone,
            **self._place(opened),
            call_id=opened.call_id,
            name=opened.name,
            arguments=arguments,
        )
        item = FunctionCall(
            id=opened.item_id, status=status, call_id=opened.call_id, name=opened.name, arguments=arguments
        )
        if self.in_conversation and opened.item_id in self._conversation.history:
            self._conversation.history.replace(opened.item_id, item)
        return [done], item

    # --- remote calls ----------------------------------------------------------------------------------------

    def _close_remote(self, opened: _OpenCall, tool: RemoteTool, *, whole: bool) -> list[wire.ServerEvent]:
        """The model wrote all of a remote call, or stopped in the middle: begin it, ask for it, or let it fail."""
        text = "".join(opened.arguments)
        arguments = arguments_of(text) if whole else None
        if tool.asks_first and arguments is not None:
            return self._ask(opened, tool, text or "{}")
        if tool.asks_first and not whole:
            return []
        events = self._added(opened, new_call(opened.item_id, tool)) if tool.asks_first else []
        self._keep(new_call(opened.item_id, tool, text or "{}"))
        events.append(self._event(wire.ResponseMcpCallArgumentsDone, **self._place(opened), arguments=text or "{}"))
        if arguments is None:
            problem = "The model's arguments are not a JSON object." if whole else "The response ended before the call."
            return events + self._call_ended(opened.index, failure("tool_execution_error", problem))
        place = {"output_index": opened.index, "item_id": opened.item_id}
        self._calling[opened.item_id] = opened.index
        self._calls.append(CallRemote(item_id=opened.item_id, server=tool.server, name=tool.name, arguments=arguments))
        return [*events, self._event(wire.ResponseMcpCallInProgress, **place)]

    def _ask(self, opened: _OpenCall, tool: RemoteTool, arguments: str) -> list[wire.ServerEvent]:
        request = McpApprovalRequest(
            id=opened.item_id, server_label=tool.server.server_label, name=tool.name, arguments=arguments
        )
        events = self._added(opened, request)
        self._output.append(request)
        self._requests[opened.item_id] = tool
        return events + self._done(opened.index, request)

    def _keep(self, call: McpCall) -> None:
        self._output.append(call)
        if self.in_conversation and str(call.id) in self._conversation.history:
            self._conversation.history.replace(str(call.id), call)

    def _call_ended(self, index: int, result: str | McpError) -> list[wire.ServerEvent]:
        call = self._output[index]
        assert isinstance(call, McpCall)
        call = self._output[index] = ended(call, result)
        if self.in_conversation and str(call.id) in self._conversation.history:
            self._conversation.history.replace(str(call.id), call)
        kind = wire.ResponseMcpCallFailed if isinstance(result, McpError) else wire.ResponseMcpCallCompleted
        return [self._event(kind, output_index=index, item_id=call.id), *self._done(index, call)]
