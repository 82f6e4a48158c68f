"""The session panel's flat settings to and from the session object of the wire. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from duologue.console.views import Mode, Settings
from duologue.protocol.session import (
    Audio,
    AudioInput,
    AudioOutput,
    RealtimeSession,
    SemanticVad,
    ServerVad,
    Transcription,
    TurnDetection,
    VoiceId,
)

INSTRUCTIONS = """You are a friendly voice assistant in a test console. Answer briefly and speak clearly.
When you are asked about the weather somewhere, call get_weather; when you are told something worth keeping, call set_memory.
Speak English unless the user speaks another language."""

DEFAULTS = Settings(
    instructions=INSTRUCTIONS,
    voice="alloy",
    modality="audio",
    detection="manual",
    threshold=0.5,
    prefix_padding_ms=300,
    silence_duration_ms=500,
    idle_timeout_ms=None,
    create_response=True,
    interrupt_response=True,
    eagerness="auto",
    transcription_model="gpt-4o-mini-transcribe",
    language=None,
)
"""Half a second of silence ends a turn: people pause when they try things out. (The wire's own default is 200 ms.)"""

_DETECTION_FIELDS = (
    "detection",
    "threshold",
    "prefix_padding_ms",
    "silence_duration_ms",
    "idle_timeout_ms",
    "create_response",
    "interrupt_response",
    "eagerness",
)

_WIRE_NAMES = {
    "type": "detection",
    "turn_detection": "detection",
    "model": "transcription_model",
    "transcription": "transcription_model",
    "output_modalities": "modality",
}


def change(settings: Settings, changes: dict[str, Any]) -> Settings:
    """The settings with some fields replaced. Raises ValueError naming the field that is unknown or has a wrong type."""
    unknown = set(changes) - set(Settings.__struct_fields__)
    if unknown:
        raise ValueError(f"unknown setting {sorted(unknown)[0]!r}")
    try:
        return msgspec.convert({**msgspec.to_builtins(settings), **changes}, Settings)
    except msgspec.ValidationError as problem:
        raise ValueError(str(problem)) from None


def mode_of(settings: Settings) -> Mode:
    """Who decides that a turn is over: the button (`manual`) or the server (`vad`)."""
    return "manual" if settings.detection in (None, "manual") else "vad"


def to_session(settings: Settings, *, only: frozenset[str] | None = None) -> RealtimeSession:
    """The `session.update` that brings the settings into force; `only` restricts it to the fields that changed."""

    def wanted(*names: str) -> bool:
        return only is None or not only.isdisjoint(names)

    listening = AudioInput(
        turn_detection=_turn_detection(settings) if wanted(*_DETECTION_FIELDS) else UNSET,
        transcription=_transcription(settings) if wanted("transcription_model", "language") else UNSET,
    )
    speaking = AudioOutput(voice=settings.voice or UNSET) if wanted("voice") else AudioOutput()
    audio = Audio(
        input=listening if listening != AudioInput() else UNSET,
        output=speaking if speaking != AudioOutput() else UNSET,
    )
    return RealtimeSession(
        instructions=(settings.instructions or "") if wanted("instructions") else UNSET,
        output_modalities=(settings.modality or "audio",) if wanted("modality") else UNSET,
        audio=audio if audio != Audio() else UNSET,
    )


def changed(before: Settings, after: Settings) -> frozenset[str]:
    """Names of the fields that differ."""
    return frozenset(name for name in Settings.__struct_fields__ if getattr(before, name) != getattr(after, name))


def field_of(param: str | None) -> str:
    """The panel's field that an error's `param` is about (`session.audio.input.turn_detection.threshold`); empty if none."""
    if param is None or not param.startswith("session."):
        return ""
    name = param.rpartition(".")[2].partition("[")[0]
    field = _WIRE_NAMES.get(name, name)
    return field if field in Settings.__struct_fields__ else ""


def from_session(session: RealtimeSession) -> Settings:
    """What the server says is in force; what it did not say is None."""
    audio = _set(session.audio) or Audio()
    listening = _set(audio.input) or AudioInput()
    speaking = _set(audio.output) or AudioOutput()
    voice = _set(speaking.voice)
    transcription = _set(listening.transcription)
    modalities = _set(session.output_modalities) or ()
    flat = Settings(
        instructions=_set(session.instructions),
        voice=voice.id if isinstance(voice, VoiceId) else voice,
        modality="audio" if "audio" in modalities else "text" if modalities else None,
        transcription_model=_set(transcription.model) if transcription else None,
        language=_set(transcription.language) if transcription else None,
    )
    if listening.turn_detection is UNSET:
        return flat
    return _with_detection(flat, listening.turn_detection)


def _turn_detection(settings: Settings) -> TurnDetection | None:
    if mode_of(settings) == "manual":
        return None
    answer = UNSET if settings.create_response is None else settings.create_response
    interrupt = UNSET if settings.interrupt_response is None else settings.interrupt_response
    if settings.detection == "semantic_vad":
        return SemanticVad(eagerness=settings.eagerness or "auto", create_response=answer, interrupt_response=interrupt)
    return ServerVad(
        threshold=UNSET if settings.threshold is None else settings.threshold,
        prefix_padding_ms=UNSET if settings.prefix_padding_ms is None else settings.prefix_padding_ms,
        silence_duration_ms=UNSET if settings.silence_duration_ms is None else settings.silence_duration_ms,
        idle_timeout_ms=settings.idle_timeout_ms,
        create_response=answer,
        interrupt_response=interrupt,
    )


def _transcription(settings: Settings) -> Transcription | None:
    if not settings.transcription_model:
        return None
    return Transcription(model=settings.transcription_model, language=settings.language)


def _with_detection(flat: Settings, detection: TurnDetection | None) -> Settings:
    match detection:
        case None:
            return msgspec.structs.replace(flat, detection="manual")
        case ServerVad():
            return msgspec.structs.replace(
                flat,
                detection="server_vad",
                threshold=_set(detection.threshold),
                prefix_padding_ms=_set(detection.prefix_padding_ms),
                silence_duration_ms=_set(detection.silence_duration_ms),
                idle_timeout_ms=_set(detection.idle_timeout_ms),
                create_response=_set(detection.create_response),
                interrupt_response=_set(detection.interrupt_response),
            )
        case SemanticVad():
            return msgspec.structs.replace(
                flat,
                detection="semantic_vad",
                eagerness=_set(detection.eagerness),
                create_response=_set(detection.create_response),
                interrupt_response=_set(detection.interrupt_response),
            )


def _set(value: Any) -> Any:
    return None if value is UNSET else value
