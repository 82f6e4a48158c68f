"""Everything that can happen to a session, as values: what the client sent, what the engines found out, time passing."""

from __future__ import annotations

from msgspec import Struct

from duologue.errors import ProtocolError
from duologue.protocol.client_events import ClientEvent
from duologue.protocol.items import McpError, McpTool


class ClientSent(Struct, frozen=True, kw_only=True):
    """A client event, well-formed."""

    event: ClientEvent


class ClientErred(Struct, frozen=True, kw_only=True):
    """A frame that is no client event."""

    error: ProtocolError


class Heard(Struct, frozen=True, kw_only=True):
    """A caller's sound came in beside the events: PCM16, 24 kHz, mono, whole samples."""

    audio: bytes


class Played(Struct, frozen=True, kw_only=True):
    """Of what the server plays to a caller, `samples` have been played since the `clears`th `Hush`."""

    clears: int
    samples: int


class SpeechFrames(Struct, frozen=True, kw_only=True):
    """The detector's speech probabilities for its next frames, each `frame_ms` long."""

    probabilities: tuple[float, ...]


class TurnJudged(Struct, frozen=True, kw_only=True):
    """How likely the user has finished the speech that will become `item_id`, 0 to 1; None: nobody can tell."""

    item_id: str
    score: float | None


class TranscriptGuess(Struct, frozen=True, kw_only=True):
    """The recognizer's transcript so far: the first words are final, the end is open. `item_id` as in `OpenUtterance`."""

    item_id: str
    text: str


class TranscriptReady(Struct, frozen=True, kw_only=True):
    """The recognizer finished an item's speech."""

    item_id: str
    text: str


class TranscriptFailed(Struct, frozen=True, kw_only=True):
    """The recognizer gave up on an item's speech."""

    item_id: str
    code: str
    message: str


class ModelText(Struct, frozen=True, kw_only=True):
    """The model wrote more text."""

    response_id: str
    text: str


class ModelToolCall(Struct, frozen=True, kw_only=True):
    """The model wrote more of its tool call number `index`; the first piece brings the name."""

    response_id: str
    index: int
    name: str | None
    arguments: str


class VoiceAudio(Struct, frozen=True, kw_only=True):
    """The voice spoke more: PCM16, 24 kHz, mono, whole samples."""

    response_id: str
    audio: bytes


class VoiceMark(Struct, frozen=True, kw_only=True):
    """All sound of the next `characters` of the text has been handed over."""

    response_id: str
    characters: int


class ModelDone(Struct, frozen=True, kw_only=True):
    """Model and voice are done. `reason` is stop, length or content_filter; counts are None where nobody counted."""

    response_id: str
    reason: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None


class ModelFailed(Struct, frozen=True, kw_only=True):
    """Model or voice failed."""

    response_id: str
    code: str
    message: str


class RemoteListed(Struct, frozen=True, kw_only=True):
    """What a remote MCP server offers, for the listing `item_id`; None where it could not be asked."""

    item_id: str
    tools: tuple[McpTool, ...] | None


class RemoteAnswered(Struct, frozen=True, kw_only=True):
    """What came of the remote call `item_id`: its output, or why there is none."""

    item_id: str
    result: str | McpError


class Tick(Struct, frozen=True, kw_only=True):
    """A deadline may have passed."""


Remote = RemoteListed | RemoteAnswered
ModelOutput = ModelText | ModelToolCall | VoiceAudio | VoiceMark | ModelDone | ModelFailed
Transcribed = TranscriptGuess | TranscriptReady | TranscriptFailed
Input = (
    ClientSent | ClientErred | Heard | Played | SpeechFrames | TurnJudged | Transcribed | ModelOutput | Remote | Tick
)
