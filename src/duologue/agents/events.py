"""What a session tells its application, each event a value with its `type`. Pure."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from msgspec import Struct

from duologue.agents.agent import RealtimeAgent
from duologue.agents.history import HistoryItem
from duologue.agents.span import Span
from duologue.client.payloads import BudgetSpent, ClientError, Reconnecting, Restored, UsageUpdate


class SessionEvent(Struct, frozen=True, kw_only=True, gc=False):
    """Base of all."""

    type: ClassVar[str] = ""


class AgentStart(SessionEvent, frozen=True, kw_only=True):
    """An answer of `agent` begins."""

    type: ClassVar[Literal["agent_start"]] = "agent_start"
    agent: RealtimeAgent
    response_id: str


class AgentEnd(SessionEvent, frozen=True, kw_only=True):
    """The answer has ended; `text` is all that was said or written in it. `status`: `completed`, `cancelled`, `failed` or
    `incomplete`."""

    type: ClassVar[Literal["agent_end"]] = "agent_end"
    agent: RealtimeAgent
    response_id: str
    text: str
    status: str = "completed"


class HandedOver(SessionEvent, frozen=True, kw_only=True):
    """From now on `to_agent` speaks."""

    type: ClassVar[Literal["handoff"]] = "handoff"
    from_agent: RealtimeAgent
    to_agent: RealtimeAgent


class ToolStart(SessionEvent, frozen=True, kw_only=True):
    """A tool begins; `arguments` is the model's JSON text."""

    type: ClassVar[Literal["tool_start"]] = "tool_start"
    agent: RealtimeAgent
    tool: str
    call_id: str
    arguments: str
    response_id: str = ""


class ToolEnd(SessionEvent, frozen=True, kw_only=True):
    """A tool has answered, or was refused; `output` is what the model reads."""

    type: ClassVar[Literal["tool_end"]] = "tool_end"
    agent: RealtimeAgent
    tool: str
    call_id: str
    arguments: str
    output: str
    response_id: str = ""


class ToolApprovalRequired(SessionEvent, frozen=True, kw_only=True):
    """A call waits for `approve(call_id)` or `reject(call_id)`. `server_label` names the MCP server of a tool that the
    Realtime server runs; it is empty for tools of this side."""

    type: ClassVar[Literal["tool_approval_required"]] = "tool_approval_required"
    agent: RealtimeAgent
    tool: str
    call_id: str
    arguments: str
    server_label: str = ""
    response_id: str = ""


class AudioStart(SessionEvent, frozen=True, kw_only=True):
    """The first sound of an item, or in a call the moment in which it begins to play."""

    type: ClassVar[Literal["audio_start"]] = "audio_start"
    response_id: str
    item_id: str


class AudioData(SessionEvent, frozen=True, kw_only=True):
    """Sound in the session's output format."""

    type: ClassVar[Literal["audio"]] = "audio"
    audio: bytes
    response_id: str
    item_id: str
    content_index: int


class AudioEnd(SessionEvent, frozen=True, kw_only=True):
    """All sound of an item has been made; it may still be playing."""

    type: ClassVar[Literal["audio_end"]] = "audio_end"
    response_id: str
    item_id: str


class AudioInterrupted(SessionEvent, frozen=True, kw_only=True):
    """Stop playing now. `item_id` is the item that was being made or played last; empty where none is known."""

    type: ClassVar[Literal["audio_interrupted"]] = "audio_interrupted"
    item_id: str


class SpeechStarted(SessionEvent, frozen=True, kw_only=True):
    """The user begins to speak."""

    type: ClassVar[Literal["speech_started"]] = "speech_started"
    item_id: str


class SpeechStopped(SessionEvent, frozen=True, kw_only=True):
    """The user has stopped speaking."""

    type: ClassVar[Literal["speech_stopped"]] = "speech_stopped"
    item_id: str


class TranscriptDelta(SessionEvent, frozen=True, kw_only=True):
    """More words of the `user` or the `assistant`, spoken or written."""

    type: ClassVar[Literal["transcript_delta"]] = "transcript_delta"
    role: str
    item_id: str
    delta: str


class TranscriptDone(SessionEvent, frozen=True, kw_only=True):
    """All words of the item's part."""

    type: ClassVar[Literal["transcript_done"]] = "transcript_done"
    role: str
    item_id: str
    text: str


class HistoryAdded(SessionEvent, frozen=True, kw_only=True):
    """An item entered the conversation."""

    type: ClassVar[Literal["history_added"]] = "history_added"
    item: HistoryItem


class HistoryUpdated(SessionEvent, frozen=True, kw_only=True):
    """An item came, was completed, cut or removed; `history` is the whole."""

    type: ClassVar[Literal["history_updated"]] = "history_updated"
    history: tuple[HistoryItem, ...]


class GuardrailTripped(SessionEvent, frozen=True, kw_only=True):
    """An output guardrail stopped an answer. `remedy`: `retry`, `safe_phrase`, or `cut` where the user has spoken since."""

    type: ClassVar[Literal["guardrail_tripped"]] = "guardrail_tripped"
    agent: RealtimeAgent
    guardrail: str
    item_id: str
    text: str
    info: Any
    remedy: str


class InputGuardrailTripped(SessionEvent, frozen=True, kw_only=True):
    """An input guardrail stopped what the user said before it was answered."""

    type: ClassVar[Literal["input_guardrail_tripped"]] = "input_guardrail_tripped"
    agent: RealtimeAgent
    guardrail: str
    item_id: str
    text: str
    info: Any


class InputAudioTimeoutTriggered(SessionEvent, frozen=True, kw_only=True):
    """The user has been silent for the idle timeout."""

    type: ClassVar[Literal["input_audio_timeout_triggered"]] = "input_audio_timeout_triggered"
    item_id: str


class McpToolsChanged(SessionEvent, frozen=True, kw_only=True):
    """The Realtime server has listed the tools of an MCP server: their names by the server's label."""

    type: ClassVar[Literal["mcp_tools_changed"]] = "mcp_tools_changed"
    tools: dict[str, tuple[str, ...]]


class McpToolCallCompleted(SessionEvent, frozen=True, kw_only=True):
    """The Realtime server ran a tool of an MCP server."""

    type: ClassVar[Literal["mcp_tool_call_completed"]] = "mcp_tool_call_completed"
    tool: str
    server_label: str
    arguments: str
    output: str


class ResponseFailed(SessionEvent, frozen=True, kw_only=True):
    """An answer ended early; `status` is `failed` or `incomplete`."""

    type: ClassVar[Literal["response_failed"]] = "response_failed"
    response_id: str
    status: str
    reason: str


class UsageUpdated(SessionEvent, frozen=True, kw_only=True):
    """What the answer, or the transcript, has cost, and which agent spoke."""

    type: ClassVar[Literal["usage_updated"]] = "usage_updated"
    agent: RealtimeAgent
    update: UsageUpdate


class BudgetReached(SessionEvent, frozen=True, kw_only=True):
    """The conversation has cost what it may: it ends now, with a goodbye."""

    type: ClassVar[Literal["budget_spent"]] = "budget_spent"
    details: BudgetSpent


class ConnectionLost(SessionEvent, frozen=True, kw_only=True):
    """The connection is gone; another is being made."""

    type: ClassVar[Literal["reconnecting"]] = "reconnecting"
    details: Reconnecting


class ConnectionRestored(SessionEvent, frozen=True, kw_only=True):
    """The new session knows the conversation."""

    type: ClassVar[Literal["reconnected"]] = "reconnected"
    details: Restored


class SessionError(SessionEvent, frozen=True, kw_only=True):
    """Something failed and the session goes on."""

    type: ClassVar[Literal["error"]] = "error"
    error: ClientError


class SessionEnded(SessionEvent, frozen=True, kw_only=True):
    """It is over: the last event of every session that was connected. `clean`: it was closed in order, by either side."""

    type: ClassVar[Literal["session_ended"]] = "session_ended"
    reason: str
    clean: bool


class SpanChanged(SessionEvent, frozen=True, kw_only=True):
    """A span of the session's trace began (`ended_ms` is None) or has ended; only for who asks for it by name."""

    type: ClassVar[Literal["span"]] = "span"
    span: Span


class RawModelEvent(SessionEvent, frozen=True, kw_only=True):
    """A server event as it came; only for who asks for it by name."""

    type: ClassVar[Literal["raw_model_event"]] = "raw_model_event"
    data: Any


AnySessionEvent = (
    AgentStart
    | AgentEnd
    | HandedOver
    | ToolStart
    | ToolEnd
    | ToolApprovalRequired
    | AudioStart
    | AudioData
    | AudioEnd
    | AudioInterrupted
    | SpeechStarted
    | SpeechStopped
    | TranscriptDelta
    | TranscriptDone
    | HistoryAdded
    | HistoryUpdated
    | GuardrailTripped
    | InputGuardrailTripped
    | InputAudioTimeoutTriggered
    | McpToolsChanged
    | McpToolCallCompleted
    | ResponseFailed
    | UsageUpdated
    | BudgetReached
    | ConnectionLost
    | ConnectionRestored
    | SessionError
    | SessionEnded
    | SpanChanged
    | RawModelEvent
)
"""What a session tells: a type checker knows an event by its `type`."""
ALIASES = {
    "agent_tool_start": "tool_start",
    "agent_tool_end": "tool_end",
    "agent_handoff": "handoff",
    "audio_stopped": "audio_end",
    "tool_approval_requested": "tool_approval_required",
    "transport_event": "raw_model_event",
}
"""Names that users of the agents SDK for JavaScript bring along."""
NAMES = frozenset(each.type for each in SessionEvent.__subclasses__())
