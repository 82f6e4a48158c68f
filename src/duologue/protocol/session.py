"""The session object: what a client asks for in `session.update` and what the server says is in force.

One set of structs serves both directions: in an update only the fields that are set travel, an effective session has
all of them set. Ranges are the server's to check; here any well-typed value decodes, so that a newer peer is understood.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

Modality = Literal["text", "audio"]
Eagerness = Literal["auto", "low", "medium", "high"]


class PcmFormat(Struct, frozen=True, kw_only=True, tag_field="type", tag="audio/pcm"):
    """Signed 16-bit little-endian mono PCM; `rate` in Hz, 24000 is the only one the hosted API takes."""

    rate: int = 24000


class PcmuFormat(Struct, frozen=True, kw_only=True, tag_field="type", tag="audio/pcmu"):
    """G.711 µ-law, 8 kHz mono, one byte a sample."""


class PcmaFormat(Struct, frozen=True, kw_only=True, tag_field="type", tag="audio/pcma"):
    """G.711 A-law, 8 kHz mono, one byte a sample."""


AudioFormat = PcmFormat | PcmuFormat | PcmaFormat


class Transcription(Struct, frozen=True, kw_only=True):
    """How the user's speech is to be transcribed. Transcripts are sent to the client only where this is not null."""

    model: str | UnsetType = UNSET
    language: str | None | UnsetType = UNSET
    prompt: str | None | UnsetType = UNSET
    delay: str | UnsetType = UNSET
    keywords: tuple[str, ...] | UnsetType = UNSET
    languages: tuple[str, ...] | UnsetType = UNSET


class NoiseReduction(Struct, frozen=True, kw_only=True):
    """`near_field` for headsets, `far_field` for rooms."""

    type: str
    strength: float | UnsetType = UNSET


class ServerVad(Struct, frozen=True, kw_only=True, tag_field="type", tag="server_vad"):
    """A turn ends after `silence_duration_ms` of silence. Times in ms of audio, `threshold` a speech probability 0-1."""

    threshold: float | UnsetType = UNSET
    prefix_padding_ms: int | UnsetType = UNSET
    silence_duration_ms: int | UnsetType = UNSET
    idle_timeout_ms: int | None | UnsetType = UNSET
    create_response: bool | UnsetType = UNSET
    interrupt_response: bool | UnsetType = UNSET


class SemanticVad(Struct, frozen=True, kw_only=True, tag_field="type", tag="semantic_vad"):
    """A turn ends when the words sound finished; `eagerness` bounds the wait."""

    eagerness: Eagerness | UnsetType = UNSET
    create_response: bool | UnsetType = UNSET
    interrupt_response: bool | UnsetType = UNSET


TurnDetection = ServerVad | SemanticVad


class VoiceId(Struct, frozen=True, kw_only=True):
    """A custom voice by its id."""

    id: str


class AudioInput(Struct, frozen=True, kw_only=True):
    """Everything about the user's side of the sound."""

    format: AudioFormat | UnsetType = UNSET
    transcription: Transcription | None | UnsetType = UNSET
    noise_reduction: NoiseReduction | None | UnsetType = UNSET
    turn_detection: TurnDetection | None | UnsetType = UNSET


class AudioOutput(Struct, frozen=True, kw_only=True):
    """Everything about the model's side of the sound."""

    format: AudioFormat | UnsetType = UNSET
    voice: str | VoiceId | UnsetType = UNSET
    speed: float | UnsetType = UNSET


class Audio(Struct, frozen=True, kw_only=True):
    """Both sides of the sound."""

    input: AudioInput | UnsetType = UNSET
    output: AudioOutput | UnsetType = UNSET


class FunctionTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """A tool that the client runs; `parameters` is a JSON schema of an object."""

    name: str
    description: str | None | UnsetType = UNSET
    parameters: dict[str, Any] | None | UnsetType = UNSET


class McpServerTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp"):
    """A remote MCP server whose tools the Realtime server itself calls."""

    server_label: str
    server_url: str | UnsetType = UNSET
    connector_id: str | UnsetType = UNSET
    tunnel_id: str | UnsetType = UNSET
    server_description: str | UnsetType = UNSET
    authorization: str | UnsetType = UNSET
    headers: dict[str, str] | None | UnsetType = UNSET
    allowed_tools: Any | UnsetType = UNSET
    require_approval: Any | UnsetType = UNSET
    allowed_callers: Any | UnsetType = UNSET
    defer_loading: bool | UnsetType = UNSET


Tool = FunctionTool | McpServerTool


class ChooseFunction(Struct, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """`tool_choice` that names the function to call."""

    name: str


class ChooseMcp(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp"):
    """`tool_choice` that names an MCP server, and perhaps one tool of it."""

    server_label: str
    name: str | None | UnsetType = UNSET


ToolChoice = str | ChooseFunction | ChooseMcp
"""`auto`, `none`, `required`, or the tool itself."""


class Prompt(Struct, frozen=True, kw_only=True):
    """A prompt stored at the provider."""

    id: str
    version: str | None | UnsetType = UNSET
    variables: dict[str, Any] | None | UnsetType = UNSET


class Tracing(Struct, frozen=True, kw_only=True):
    """Names under which the provider files its trace."""

    workflow_name: str | UnsetType = UNSET
    group_id: str | UnsetType = UNSET
    metadata: Any | UnsetType = UNSET


class TokenLimits(Struct, frozen=True, kw_only=True):
    """Upper bounds in tokens for what is kept of the conversation."""

    post_instructions: int | UnsetType = UNSET


class RetentionRatio(Struct, frozen=True, kw_only=True, tag_field="type", tag="retention_ratio"):
    """When the context is full, keep this share (0-1) of it."""

    retention_ratio: float
    token_limits: TokenLimits | None | UnsetType = UNSET


class Reasoning(Struct, frozen=True, kw_only=True):
    """How long a reasoning model may think: minimal, low, medium, high, xhigh."""

    effort: str | None | UnsetType = UNSET


class RealtimeSession(Struct, frozen=True, kw_only=True, tag_field="type", tag="realtime"):
    """A conversation's session. Field order is that of the wire."""

    object: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    output_modalities: tuple[Modality, ...] | UnsetType = UNSET
    instructions: str | None | UnsetType = UNSET
    tools: tuple[Tool, ...] | None | UnsetType = UNSET
    tool_choice: ToolChoice | UnsetType = UNSET
    max_output_tokens: int | Literal["inf"] | None | UnsetType = UNSET
    tracing: Literal["auto"] | Tracing | None | UnsetType = UNSET
    truncation: str | RetentionRatio | UnsetType = UNSET
    prompt: Prompt | None | UnsetType = UNSET
    expires_at: int | UnsetType = UNSET
    audio: Audio | UnsetType = UNSET
    include: tuple[str, ...] | None | UnsetType = UNSET
    reasoning: Reasoning | None | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET


class TranscriptionSession(Struct, frozen=True, kw_only=True, tag_field="type", tag="transcription"):
    """A session that only transcribes."""

    object: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    expires_at: int | UnsetType = UNSET
    audio: Audio | UnsetType = UNSET
    include: tuple[str, ...] | None | UnsetType = UNSET


AnySession = RealtimeSession | TranscriptionSession
