"""The response object, what a client asks for in `response.create`, and what a response cost."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from duologue.protocol.items import InputItem, Item
from duologue.protocol.session import AudioFormat, Modality, Prompt, Reasoning, Tool, ToolChoice, VoiceId

ResponseStatus = Literal["in_progress", "completed", "cancelled", "failed", "incomplete"]


class CachedTokens(Struct, frozen=True, kw_only=True):
    """Of the input tokens, those served from the cache."""

    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0


class InputTokens(Struct, frozen=True, kw_only=True):
    """What the model read. `cached_tokens` is a part of the others, not an addition."""

    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int = 0
    cached_tokens_details: CachedTokens | None | UnsetType = UNSET


class OutputTokens(Struct, frozen=True, kw_only=True):
    """What the model said: 1 audio token is 50 ms."""

    text_tokens: int = 0
    audio_tokens: int = 0


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of one response."""

    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: InputTokens | None | UnsetType = UNSET
    output_token_details: OutputTokens | None | UnsetType = UNSET


class FailureDetails(Struct, frozen=True, kw_only=True):
    """Why a response failed."""

    type: str | None | UnsetType = UNSET
    code: str | None | UnsetType = UNSET
    message: str | None | UnsetType = UNSET


class StatusDetails(Struct, frozen=True, kw_only=True):
    """How a response ended when it did not complete; `type` repeats the status."""

    type: str
    reason: str | UnsetType = UNSET
    error: FailureDetails | None | UnsetType = UNSET


class ResponseAudioOutput(Struct, frozen=True, kw_only=True):
    """Format and voice in which a response speaks."""

    format: AudioFormat | UnsetType = UNSET
    voice: str | VoiceId | UnsetType = UNSET


class ResponseAudio(Struct, frozen=True, kw_only=True):
    """The response's sound."""

    output: ResponseAudioOutput | UnsetType = UNSET


class Response(Struct, frozen=True, kw_only=True):
    """A response as `response.created` and `response.done` show it. Field order is that of the wire."""

    object: str = "realtime.response"
    id: str
    status: ResponseStatus
    status_details: StatusDetails | None = None
    output: tuple[Item, ...] = ()
    conversation_id: str | None | UnsetType = UNSET
    output_modalities: tuple[Modality, ...] | UnsetType = UNSET
    max_output_tokens: int | Literal["inf"] | None | UnsetType = UNSET
    audio: ResponseAudio | UnsetType = UNSET
    usage: Usage | None = None
    metadata: dict[str, str] | None = None


class ResponseCreateParams(Struct, frozen=True, kw_only=True):
    """Overrides for one response; what is not set comes from the session."""

    conversation: str | None | UnsetType = UNSET
    input: tuple[InputItem, ...] | None | UnsetType = UNSET
    instructions: str | None | UnsetType = UNSET
    output_modalities: tuple[Modality, ...] | None | UnsetType = UNSET
    audio: ResponseAudio | None | UnsetType = UNSET
    tools: tuple[Tool, ...] | None | UnsetType = UNSET
    tool_choice: ToolChoice | None | UnsetType = UNSET
    max_output_tokens: int | Literal["inf"] | None | UnsetType = UNSET
    metadata: dict[str, str] | None | UnsetType = UNSET
    prompt: Prompt | None | UnsetType = UNSET
    reasoning: Reasoning | None | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET


class TokenUsage(Struct, frozen=True, kw_only=True, tag_field="type", tag="tokens"):
    """Transcription billed by tokens."""

    total_tokens: int
    input_tokens: int
    output_tokens: int
    input_token_details: InputTokens | None | UnsetType = UNSET


class DurationUsage(Struct, frozen=True, kw_only=True, tag_field="type", tag="duration"):
    """Transcription billed by seconds of audio."""

    seconds: float


TranscriptionUsage = TokenUsage | DurationUsage


class RateLimit(Struct, frozen=True, kw_only=True):
    """How much is left of one limit; `name` is `tokens` or `requests`."""

    name: str
    limit: int
    remaining: int
    reset_seconds: float
