"""Every event that a server may send, GA dialect, each with the moment at which it happens.

`event_id` is empty where a server left it out (only `input_audio_buffer.dtmf_event_received` may).
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from duologue.protocol.items import Item, LogProb, Part
from duologue.protocol.responses import RateLimit, Response, TranscriptionUsage
from duologue.protocol.session import AnySession


class ErrorDetails(Struct, frozen=True, kw_only=True):
    """What went wrong. `event_id` names the client event that caused it, where one did."""

    type: str
    code: str | None = None
    message: str
    param: str | None = None
    event_id: str | None = None


class TranscriptionError(Struct, frozen=True, kw_only=True):
    """Why speech could not be transcribed."""

    type: str | UnsetType = UNSET
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    param: str | UnsetType = UNSET


class _ServerEvent(Struct, frozen=True, kw_only=True, tag_field="type"):
    event_id: str = ""

    @property
    def type(self) -> str:
        """The event's name on the wire."""
        return str(self.__struct_config__.tag)


class _OutputEvent(_ServerEvent, frozen=True, kw_only=True):
    response_id: str
    item_id: str
    output_index: int


class _ContentEvent(_OutputEvent, frozen=True, kw_only=True):
    content_index: int


class Error(_ServerEvent, frozen=True, kw_only=True, tag="error"):
    """Something was refused or failed; the session goes on unless a close follows at once."""

    error: ErrorDetails


class SessionCreated(_ServerEvent, frozen=True, kw_only=True, tag="session.created"):
    """First event on a connection: the session in force."""

    session: AnySession


class SessionUpdated(_ServerEvent, frozen=True, kw_only=True, tag="session.updated"):
    """A `session.update` was taken: the whole session now in force."""

    session: AnySession


class ConversationItemAdded(_ServerEvent, frozen=True, kw_only=True, tag="conversation.item.added"):
    """An item entered the conversation, after `previous_item_id` (null: first)."""

    previous_item_id: str | None = None
    item: Item


class ConversationItemDone(_ServerEvent, frozen=True, kw_only=True, tag="conversation.item.done"):
    """An item is final."""

    previous_item_id: str | None = None
    item: Item


class ConversationItemRetrieved(_ServerEvent, frozen=True, kw_only=True, tag="conversation.item.retrieved"):
    """Answer to a retrieve: the item with its audio."""

    item: Item


class ConversationItemTruncated(_ServerEvent, frozen=True, kw_only=True, tag="conversation.item.truncated"):
    """An assistant's speech was cut after `audio_end_ms`."""

    item_id: str
    content_index: int
    audio_end_ms: int


class ConversationItemDeleted(_ServerEvent, frozen=True, kw_only=True, tag="conversation.item.deleted"):
    """An item left the conversation."""

    item_id: str


class InputAudioTranscriptionDelta(
    _ServerEvent, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.delta"
):
    """More of the transcript of the user's speech; may come at any time after the item."""

    item_id: str
    content_index: int = 0
    delta: str = ""
    logprobs: tuple[LogProb, ...] | None | UnsetType = UNSET
    obfuscation: str | UnsetType = UNSET


class InputAudioTranscriptionCompleted(
    _ServerEvent, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.completed"
):
    """The whole transcript of the user's speech; may come before, during or after the answer to it."""

    item_id: str
    content_index: int
    transcript: str
    usage: TranscriptionUsage | UnsetType = UNSET
    logprobs: tuple[LogProb, ...] | None | UnsetType = UNSET
    languages: Any | UnsetType = UNSET


class InputAudioTranscriptionSegment(
    _ServerEvent, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.segment"
):
    """A stretch of the transcript with its speaker; `start` and `end` in seconds."""

    item_id: str
    content_index: int
    id: str
    text: str
    speaker: str
    start: float
    end: float


class InputAudioTranscriptionFailed(
    _ServerEvent, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.failed"
):
    """The user's speech could not be transcribed; the item stays without a transcript."""

    item_id: str
    content_index: int
    error: TranscriptionError


class InputAudioBufferCommitted(_ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.committed"):
    """The buffered sound became the user item `item_id`."""

    previous_item_id: str | None = None
    item_id: str


class InputAudioBufferCleared(_ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.cleared"):
    """The buffered sound was thrown away."""


class InputAudioBufferSpeechStarted(_ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_started"):
    """The user began to speak, `audio_start_ms` into the sound sent so far (padding included)."""

    audio_start_ms: int
    item_id: str


class InputAudioBufferSpeechStopped(_ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_stopped"):
    """The user fell silent; `audio_end_ms` includes the silence that proved it."""

    audio_end_ms: int
    item_id: str


class InputAudioBufferTimeoutTriggered(
    _ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.timeout_triggered"
):
    """Nobody spoke for `idle_timeout_ms` after the last answer."""

    audio_start_ms: int
    audio_end_ms: int
    item_id: str


class InputAudioBufferDtmfEventReceived(
    _ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.dtmf_event_received"
):
    """The caller pressed a key (SIP only): 0-9, *, #, A-D."""

    event: str
    received_at: int


class OutputAudioBufferStarted(_ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.started"):
    """The server began to play (WebRTC and SIP)."""

    response_id: str


class OutputAudioBufferStopped(_ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.stopped"):
    """The server's playback ran dry after the response was done (WebRTC and SIP)."""

    response_id: str


class OutputAudioBufferCleared(_ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.cleared"):
    """The server's playback was cut (WebRTC and SIP)."""

    response_id: str


class ResponseCreated(_ServerEvent, frozen=True, kw_only=True, tag="response.created"):
    """The model begins to answer."""

    response: Response


class ResponseDone(_ServerEvent, frozen=True, kw_only=True, tag="response.done"):
    """The answer is over, whatever its status; nothing of it follows."""

    response: Response


class ResponseOutputItemAdded(_ServerEvent, frozen=True, kw_only=True, tag="response.output_item.added"):
    """The answer opened an item, still empty."""

    response_id: str
    output_index: int
    item: Item


class ResponseOutputItemDone(_ServerEvent, frozen=True, kw_only=True, tag="response.output_item.done"):
    """An item of the answer is final."""

    response_id: str
    output_index: int
    item: Item


class ResponseContentPartAdded(_ContentEvent, frozen=True, kw_only=True, tag="response.content_part.added"):
    """A message of the answer opened a part, still empty."""

    part: Part


class ResponseContentPartDone(_ContentEvent, frozen=True, kw_only=True, tag="response.content_part.done"):
    """A part is final."""

    part: Part


class ResponseOutputTextDelta(_ContentEvent, frozen=True, kw_only=True, tag="response.output_text.delta"):
    """More written text."""

    delta: str
    obfuscation: str | UnsetType = UNSET


class ResponseOutputTextDone(_ContentEvent, frozen=True, kw_only=True, tag="response.output_text.done"):
    """The whole written text."""

    text: str


class ResponseOutputAudioTranscriptDelta(
    _ContentEvent, frozen=True, kw_only=True, tag="response.output_audio_transcript.delta"
):
    """More of what is being said; runs ahead of the sound."""

    delta: str
    obfuscation: str | UnsetType = UNSET


class ResponseOutputAudioTranscriptDone(
    _ContentEvent, frozen=True, kw_only=True, tag="response.output_audio_transcript.done"
):
    """All that was said."""

    transcript: str


class ResponseOutputAudioDelta(_ContentEvent, frozen=True, kw_only=True, tag="response.output_audio.delta"):
    """More sound, in the session's output format; comes faster than real time."""

    delta: bytes


class ResponseOutputAudioDone(_ContentEvent, frozen=True, kw_only=True, tag="response.output_audio.done"):
    """No more sound in this part."""


class ResponseFunctionCallArgumentsDelta(
    _OutputEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"
):
    """More of a tool call's JSON."""

    call_id: str
    delta: str


class ResponseFunctionCallArgumentsDone(
    _OutputEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.done"
):
    """A tool call's JSON is whole; the item follows."""

    call_id: str
    name: str | UnsetType = UNSET
    arguments: str


class ResponseMcpCallArgumentsDelta(_OutputEvent, frozen=True, kw_only=True, tag="response.mcp_call_arguments.delta"):
    """More of an MCP call's JSON."""

    delta: str
    obfuscation: str | UnsetType = UNSET


class ResponseMcpCallArgumentsDone(_OutputEvent, frozen=True, kw_only=True, tag="response.mcp_call_arguments.done"):
    """An MCP call's JSON is whole."""

    arguments: str


class ResponseMcpCallInProgress(_ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call.in_progress"):
    """The server runs an MCP call."""

    output_index: int
    item_id: str


class ResponseMcpCallCompleted(_ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call.completed"):
    """The MCP call answered."""

    output_index: int
    item_id: str


class ResponseMcpCallFailed(_ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call.failed"):
    """The MCP call failed."""

    output_index: int
    item_id: str


class McpListToolsInProgress(_ServerEvent, frozen=True, kw_only=True, tag="mcp_list_tools.in_progress"):
    """The server asks an MCP server for its tools."""

    item_id: str


class McpListToolsCompleted(_ServerEvent, frozen=True, kw_only=True, tag="mcp_list_tools.completed"):
    """The tools of an MCP server are known."""

    item_id: str


class McpListToolsFailed(_ServerEvent, frozen=True, kw_only=True, tag="mcp_list_tools.failed"):
    """An MCP server could not be asked."""

    item_id: str


class RateLimitsUpdated(_ServerEvent, frozen=True, kw_only=True, tag="rate_limits.updated"):
    """What is left of the limits, after a response."""

    rate_limits: tuple[RateLimit, ...]


class Conversation(Struct, frozen=True, kw_only=True):
    """The conversation that `conversation.created` announces."""

    id: str
    object: str = "realtime.conversation"


class ConversationCreated(_ServerEvent, frozen=True, kw_only=True, tag="conversation.created"):
    """Sent by servers of 2025 right after `session.created`; ours never sends it, clients count on its absence."""

    conversation: Conversation


class ConversationItemCreated(_ServerEvent, frozen=True, kw_only=True, tag="conversation.item.created"):
    """The beta's name of `conversation.item.added`; some GA servers still send it, ours only in the beta dialect."""

    previous_item_id: str | None = None
    item: Item


ServerEvent = (
    Error
    | SessionCreated
    | SessionUpdated
    | ConversationItemAdded
    | ConversationItemDone
    | ConversationItemRetrieved
    | ConversationItemTruncated
    | ConversationItemDeleted
    | InputAudioTranscriptionDelta
    | InputAudioTranscriptionCompleted
    | InputAudioTranscriptionSegment
    | InputAudioTranscriptionFailed
    | InputAudioBufferCommitted
    | InputAudioBufferCleared
    | InputAudioBufferSpeechStarted
    | InputAudioBufferSpeechStopped
    | InputAudioBufferTimeoutTriggered
    | InputAudioBufferDtmfEventReceived
    | OutputAudioBufferStarted
    | OutputAudioBufferStopped
    | OutputAudioBufferCleared
    | ResponseCreated
    | ResponseDone
    | ResponseOutputItemAdded
    | ResponseOutputItemDone
    | ResponseContentPartAdded
    | ResponseContentPartDone
    | ResponseOutputTextDelta
    | ResponseOutputTextDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
    | ResponseOutputAudioDelta
    | ResponseOutputAudioDone
    | ResponseFunctionCallArgumentsDelta
    | ResponseFunctionCallArgumentsDone
    | ResponseMcpCallArgumentsDelta
    | ResponseMcpCallArgumentsDone
    | ResponseMcpCallInProgress
    | ResponseMcpCallCompleted
    | ResponseMcpCallFailed
    | McpListToolsInProgress
    | McpListToolsCompleted
    | McpListToolsFailed
    | RateLimitsUpdated
    | ConversationCreated
    | ConversationItemCreated
)
