"""The engine protocols: noise reduction, speech detector, judge of the end of a turn, recognizer, language model, voice.

All sound here is PCM16 little-endian, mono, 24 kHz; an engine that wants another rate converts inside. An engine is
made once per process and shared by all sessions; what it opens (`open`, `stream`, `speak`) belongs to one session.
Failures are `EngineError`s; a crashed worker is restarted by its engine before the next call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Literal, Protocol

from msgspec import Struct

from duologue.protocol.items import Item
from duologue.protocol.session import FunctionTool, ToolChoice

SAMPLE_RATE_HZ = 24_000


class SpeechHints(Struct, frozen=True, kw_only=True):
    """What the user is likely to say, for recognizers that can use it.

    `phrases` are sentences in lower case with `<slot>` references and optional words in `[brackets]`;
    `slots` gives each slot's alternatives, most likely first.
    """

    phrases: tuple[str, ...] = ()
    slots: Mapping[str, tuple[str, ...]] = {}


class SttSettings(Struct, frozen=True, kw_only=True):
    """How one utterance is to be transcribed; `language` is ISO 639-1, None lets the engine choose. `narrowband`: the sound
    came over a telephone line and holds nothing above 4 kHz."""

    language: str | None = None
    narrowband: bool = False
    prompt: str | None = None
    hints: SpeechHints = SpeechHints()


class Partial(Struct, frozen=True, kw_only=True):
    """The transcript so far: final in its first words, open at its end."""

    text: str


class Transcript(Struct, frozen=True, kw_only=True):
    """The whole transcript; empty when nothing was said. `confidence` 0-1, None where the engine has none."""

    text: str
    confidence: float | None = None


class LlmRequest(Struct, frozen=True, kw_only=True):
    """All a language model needs for one response. Speech among `items` carries its transcript."""

    items: tuple[Item, ...]
    instructions: str = ""
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    max_output_tokens: int | None = None
    language: str | None = None


class TextDelta(Struct, frozen=True, kw_only=True):
    """More text to write or to speak."""

    text: str


class ToolCallDelta(Struct, frozen=True, kw_only=True):
    """More of tool call `index`: the first one brings `name`, all bring a piece of the arguments' JSON text."""

    index: int
    name: str | None = None
    arguments: str = ""


class LlmDone(Struct, frozen=True, kw_only=True):
    """The last event of a stream. Token counts are None where the engine does not count."""

    reason: Literal["stop", "length", "content_filter"] = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None


LlmEvent = TextDelta | ToolCallDelta | LlmDone


class VoiceSettings(Struct, frozen=True, kw_only=True):
    """How to speak: a voice by name (an unknown name is mapped to one the engine has), speed 0.25-1.5, language."""

    voice: str = "alloy"
    speed: float = 1.0
    language: str | None = None


class Engine(Protocol):
    """What all engines share."""

    name: str

    async def start(self) -> None:
        """Get ready (spawn workers, load models). Raises EngineError or MissingExtra with the remedy."""

    async def close(self) -> None:
        """Stop workers; nothing stays behind."""


class VadStream(Protocol):
    """Speech detection for one session: pure state, no awaiting."""

    def feed(self, audio: bytes) -> list[float]:
        """Speech probabilities of the frames that `audio` completed, oldest first; frame k covers
        `[k * frame_ms, (k + 1) * frame_ms)` of all audio fed so far."""


class Vad(Engine, Protocol):
    """Tells speech from everything else, frame by frame."""

    frame_ms: int

    def open(self) -> VadStream: ...


Field = Literal["near_field", "far_field"]
"""Where the microphone is: at the mouth, or somewhere in the room."""


class NoiseFilter(Protocol):
    """Noise reduction for one session: state in, state out; how the sound is cut into chunks changes nothing.

    Whole samples go in and out, and each keeps its place: after `flush`, as many bytes have come out as went in.
    """

    def feed(self, audio: bytes) -> bytes:
        """What is ready of all sound fed so far; may be empty."""

    def flush(self) -> bytes:
        """What was held back. What is fed afterwards continues behind it."""


class NoiseReducer(Engine, Protocol):
    """Takes the noise around a voice away, before anything listens to it."""

    def open(self, field: Field) -> NoiseFilter: ...


class EndOfTurn(Engine, Protocol):
    """Judges in a pause whether the user has finished or will go on."""

    async def score(self, audio: bytes, transcript: str | None) -> float:
        """How likely the user has finished, 0 to 1. `audio` is the last of the speech, up to 3 s, with the pause at its
        end; `transcript` what the recognizer made of the turn so far, None where it tells only at the end."""


class Utterance(Protocol):
    """One stretch of speech on its way to text. `feed` and `finish` never block; cancelling the iteration aborts.

    An engine that cannot vouch for partials but can guess has `async def so_far(self) -> str | None`: what may have been
    said up to the last sound fed, None where it is not in a position to tell. It serves to judge whether the user has
    finished and is not shown to anybody. It answers only while the results are being iterated over.
    """

    def feed(self, audio: bytes) -> None: ...

    def finish(self) -> None:
        """All sound has been fed."""

    def results(self) -> AsyncIterator[Partial | Transcript]:
        """Partials while sound comes in, one Transcript at the end. Raises EngineError."""


class Stt(Engine, Protocol):
    """Turns speech into text.

    An engine that has to prepare for what users may say has `def expect(self, settings: SttSettings) -> None`, called when
    utterances with these settings may follow. It never blocks, and promises nothing.
    """

    def open(self, settings: SttSettings) -> Utterance: ...


class Llm(Engine, Protocol):
    """Decides what to say and which tools to call.

    An engine whose model takes pictures has an attribute `sees_images` that is true; without it the server refuses them.
    """

    def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        """Raises EngineError; closing the iterator stops the model."""

    def hints(self, tools: tuple[FunctionTool, ...], prompt: str | None) -> SpeechHints:
        """What users of these tools are likely to say; empty where the model understands anything."""


class Tts(Engine, Protocol):
    """Turns text into speech."""

    def speak(self, text: str, settings: VoiceSettings) -> AsyncIterator[bytes]:
        """Sound in chunks of whole samples, the first as early as possible; closing the iterator stops the voice."""
