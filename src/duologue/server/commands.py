"""Everything that a session can ask of its shell, as values."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from duologue.engines.base import LlmRequest, VoiceSettings
from duologue.protocol.server_events import ServerEvent
from duologue.protocol.session import FunctionTool, McpServerTool


class Send(Struct, frozen=True, kw_only=True):
    """Send an event to the client."""

    event: ServerEvent


class Play(Struct, frozen=True, kw_only=True):
    """Play more sound to the caller, after what is played already (PCM16, 24 kHz, mono); progress is told as `Played`."""

    audio: bytes


class Hush(Struct, frozen=True, kw_only=True):
    """Drop the sound that has not been played, at once."""


class OpenDetector(Struct, frozen=True, kw_only=True):
    """Start speech detection afresh: its frame 0 begins with the next audio handed to `Detect`."""


class Detect(Struct, frozen=True, kw_only=True):
    """Run speech detection over more audio (PCM16, 24 kHz, mono); the answer is `SpeechFrames`."""

    audio: bytes


class ExpectSpeech(Struct, frozen=True, kw_only=True):
    """Speech may follow that is to be recognized so: whoever has to prepare for it may begin."""

    language: str | None
    prompt: str | None
    tools: tuple[FunctionTool, ...]


class OpenUtterance(Struct, frozen=True, kw_only=True):
    """Begin to recognize a speech: that which will become item `item_id`, or a clip under an id of its own."""

    item_id: str
    language: str | None
    prompt: str | None
    tools: tuple[FunctionTool, ...]


class FeedUtterance(Struct, frozen=True, kw_only=True):
    """More sound of that speech (PCM16, 24 kHz, mono)."""

    item_id: str
    audio: bytes


class JudgeTurn(Struct, frozen=True, kw_only=True):
    """Judge whether the user has finished: answer with `TurnJudged` before any more of the sound is judged.

    `audio` (PCM16, 24 kHz, mono) is the last of the speech, the pause at its end included.
    """

    item_id: str
    audio: bytes


class FinishUtterance(Struct, frozen=True, kw_only=True):
    """All sound has been fed: answer with `TranscriptReady` or `TranscriptFailed`."""

    item_id: str


class AbortUtterance(Struct, frozen=True, kw_only=True):
    """Nobody wants that transcript any more."""

    item_id: str


class StartModel(Struct, frozen=True, kw_only=True):
    """Run the model, and the voice unless `voice` is None; answer with `ModelOutput`s that carry the response's id."""

    response_id: str
    request: LlmRequest
    voice: VoiceSettings | None


class StopModel(Struct, frozen=True, kw_only=True):
    """Stop model and voice of a response; what still arrives of it is dropped."""

    response_id: str


class ListRemote(Struct, frozen=True, kw_only=True):
    """Ask a remote MCP server what it offers; answer with `RemoteListed`."""

    item_id: str
    server: McpServerTool


class CallRemote(Struct, frozen=True, kw_only=True):
    """Call a tool of a remote MCP server; answer with `RemoteAnswered`."""

    item_id: str
    server: McpServerTool
    name: str
    arguments: dict[str, Any]


class StopRemote(Struct, frozen=True, kw_only=True):
    """Nobody waits for that remote call any more."""

    item_id: str


class ReportDropped(Struct, frozen=True, kw_only=True):
    """Write down that the model's context was full: these items are no longer read, though the client may see them."""

    response_id: str
    item_ids: tuple[str, ...]


class ReportEstimate(Struct, frozen=True, kw_only=True):
    """Write down how many tokens of a response that has ended are estimates: no engine counted them."""

    input_tokens: int
    output_tokens: int


class Hangup(Struct, frozen=True, kw_only=True):
    """Close the connection once everything sent before has left."""

    code: int
    reason: str


Command = (
    Send
    | Play
    | Hush
    | OpenDetector
    | Detect
    | ExpectSpeech
    | OpenUtterance
    | FeedUtterance
    | JudgeTurn
    | FinishUtterance
    | AbortUtterance
    | StartModel
    | StopModel
    | ListRemote
    | CallRemote
    | StopRemote
    | ReportDropped
    | ReportEstimate
    | Hangup
)
