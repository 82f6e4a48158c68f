"""The session's settings: what is in force at the start, and what an update makes of them. All or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from duologue.errors import ProtocolError
from duologue.protocol.session import (
    AnySession,
    Audio,
    AudioFormat,
    AudioInput,
    AudioOutput,
    ChooseFunction,
    FunctionTool,
    McpServerTool,
    NoiseReduction,
    PcmFormat,
    RealtimeSession,
    SemanticVad,
    ServerVad,
    Tool,
    ToolChoice,
    Transcription,
    TurnDetection,
)

DEFAULT_INSTRUCTIONS = "You are a helpful voice assistant. Answer briefly, in the language that is spoken to you."
SESSION_SECONDS = 3600
SAMPLE_RATE_HZ = 24_000

PCM = PcmFormat(rate=SAMPLE_RATE_HZ)

A = TypeVar("A")
S = TypeVar("S", bound=Struct)


def default_session(*, session_id: str, model: str, now_s: int) -> RealtimeSession:
    """The session in force when a client connects: every field set."""
    listening = AudioInput(
        format=PCM, transcription=None, noise_reduction=None, turn_detection=complete_turn_detection(ServerVad())
    )
    return RealtimeSession(
        object="realtime.session",
        id=session_id,
        model=model,
        output_modalities=("audio",),
        instructions=DEFAULT_INSTRUCTIONS,
        tools=(),
        tool_choice="auto",
        max_output_tokens="inf",
        tracing=None,
        truncation="auto",
        prompt=None,
        expires_at=now_s + SESSION_SECONDS,
        audio=Audio(input=listening, output=AudioOutput(format=PCM, voice="alloy", speed=1.0)),
        include=None,
    )


def given(value: S | None | UnsetType, otherwise: S) -> S:
    """`value`, or `otherwise` where it is null or not set."""
    return otherwise if value is None or value is UNSET else value


def given_or(wish: Any, setting: Any, default: A) -> A:
    """The wish; where there is none, the setting; where there is none either, the default."""
    for value in (wish, setting):
        if value is not None and value is not UNSET:
            found: A = value
            return found
    return default


def input_settings(session: RealtimeSession) -> AudioInput:
    """The user's side of the sound."""
    return given(given(session.audio, Audio()).input, AudioInput())


def output_settings(session: RealtimeSession) -> AudioOutput:
    """The model's side of the sound."""
    return given(given(session.audio, Audio()).output, AudioOutput())


def turn_detection(session: RealtimeSession) -> TurnDetection | None:
    """The turn detection in force, None for manual turns."""
    settings = input_settings(session).turn_detection
    return None if settings is UNSET else settings


def transcription(session: RealtimeSession) -> Transcription | None:
    """The transcription that the client asked for, None where it wants no transcripts."""
    settings = input_settings(session).transcription
    return None if settings is UNSET else settings


def complete_turn_detection(settings: TurnDetection) -> TurnDetection:
    """Fill in what the client left out: clients read the effective values back."""
    match settings:
        case ServerVad():
            return ServerVad(
                threshold=_or(settings.threshold, 0.5),
                prefix_padding_ms=_or(settings.prefix_padding_ms, 300),
                silence_duration_ms=_or(settings.silence_duration_ms, 200),
                idle_timeout_ms=_or(settings.idle_timeout_ms, None),
                create_response=_or(settings.create_response, True),
                interrupt_response=_or(settings.interrupt_response, True),
            )
        case SemanticVad():
            return SemanticVad(
                eagerness=_or(settings.eagerness, "auto"),
                create_response=_or(settings.create_response, True),
                interrupt_response=_or(settings.interrupt_response, True),
            )


T = TypeVar("T")
D = TypeVar("D")


def _or(value: T | UnsetType, default: D) -> T | D:
    return default if value is UNSET else value


def updated(session: RealtimeSession, update: AnySession, *, has_spoken: bool) -> RealtimeSession:
    """The session after `session.update`; the old one stays in force where this raises ProtocolError.

    `has_spoken`: assistant audio exists, so the voice can change no more.
    """
    if not isinstance(update, RealtimeSession):
        raise ProtocolError("Passing a transcription session update event to a realtime session is not allowed.")
    check_modalities(update.output_modalities, "session.output_modalities")
    check_max_output_tokens(update.max_output_tokens, "session.max_output_tokens")
    check_tools(update.tools or (), "session.tools")
    check_tool_choice(update.tool_choice, "session.tool_choice")
    audio = given(update.audio, Audio())
    _check_input(given(audio.input, AudioInput()))
    _check_output(given(audio.output, AudioOutput()), output_settings(session), has_spoken=has_spoken)
    merged = merge(session, replace(update, object=UNSET, id=UNSET, model=UNSET, expires_at=UNSET))
    return replace(
        merged,
        instructions=_or_null(merged.instructions, ""),
        tools=_or_null(merged.tools, ()),
        max_output_tokens=_or_null(merged.max_output_tokens, "inf"),
        audio=Audio(input=_complete_input(input_settings(merged)), output=output_settings(merged)),
    )


def _or_null(value: T | None | UnsetType, default: D) -> T | D:
    return default if value is None or value is UNSET else value


def merge(old: S, new: S) -> S:
    """`old` with every field that `new` sets; deep only where the protocol nests settings (`audio`)."""
    changes = {}
    for name in new.__struct_fields__:
        value = getattr(new, name)
        if value is UNSET:
            continue
        current = getattr(old, name)
        nested = isinstance(value, Audio | AudioInput | AudioOutput) and type(value) is type(current)
        changes[name] = merge(current, value) if nested else value
    return replace(old, **changes)


def _complete_input(settings: AudioInput) -> AudioInput:
    detection, words = settings.turn_detection, settings.transcription
    if isinstance(detection, ServerVad | SemanticVad):
        detection = complete_turn_detection(detection)
    if isinstance(words, Transcription):
        words = replace(words, language=_or(words.language, None), prompt=_or(words.prompt, None))
    return replace(settings, turn_detection=detection, transcription=words)


def _check_input(settings: AudioInput) -> None:
    check_format(settings.format, "session.audio.input.format")
    noise = settings.noise_reduction
    if isinstance(noise, NoiseReduction):
        _one_of(noise.type, ("near_field", "far_field"), "session.audio.input.noise_reduction.type")
    path = "session.audio.input.turn_detection"
    match settings.turn_detection:
        case ServerVad() as vad:
            _within(vad.threshold, 0, 1, f"{path}.threshold", "decimal")
            _within(vad.prefix_padding_ms, 0, 60_000, f"{path}.prefix_padding_ms")
            _within(vad.silence_duration_ms, 0, 60_000, f"{path}.silence_duration_ms")
            _within(vad.idle_timeout_ms, 5_000, 30_000, f"{path}.idle_timeout_ms")


def _check_output(settings: AudioOutput, current: AudioOutput, *, has_spoken: bool) -> None:
    check_format(settings.format, "session.audio.output.format")
    _within(settings.speed, 0.25, 1.5, "session.audio.output.speed", "decimal")
    if has_spoken and settings.voice is not UNSET and settings.voice != current.voice:
        raise ProtocolError(
            "Cannot update a conversation's voice if assistant audio is present.",
            code="cannot_update_voice",
            param="session.audio.output.voice",
        )


def check_format(audio_format: AudioFormat | UnsetType, param: str) -> None:
    """Refuse formats that this server does not speak."""
    if audio_format is UNSET:
        return
    match audio_format:
        case PcmFormat(rate=rate) if rate != SAMPLE_RATE_HZ:
            low = rate < SAMPLE_RATE_HZ
            word, code = ("at least", "integer_below_min_value") if low else ("at most", "integer_above_max_value")
            raise ProtocolError(
                f"Invalid '{param}.rate': expected a value {word} {SAMPLE_RATE_HZ}, but got {rate} instead.",
                code=code,
                param=f"{param}.rate",
            )
        case PcmFormat():
            pass
        case _:
            raise ProtocolError(
                "Invalid value: this server speaks 'audio/pcm' only.", code="invalid_value", param=f"{param}.type"
            )


def check_modalities(modalities: Iterable[str] | None | UnsetType, param: str) -> None:
    """Either text or audio, never both."""
    if modalities is None or modalities is UNSET:
        return
    if tuple(modalities) not in (("text",), ("audio",)):
        raise ProtocolError(
            f"Invalid modalities: {list(modalities)}. Supported combinations are: ['text'] and ['audio'].",
            code="invalid_value",
            param=param,
        )


def check_max_output_tokens(limit: int | str | None | UnsetType, param: str) -> None:
    """1 to 4096, or `inf`."""
    if isinstance(limit, int):
        _within(limit, 1, 4096, param)


def check_tools(tools: Iterable[Tool] | UnsetType, param: str) -> None:
    """Names are unique, and each tool is one that this server can offer."""
    seen: set[str] = set()
    for index, tool in enumerate(() if tools is UNSET else tools):
        match tool:
            case McpServerTool():
                raise ProtocolError(
                    "This server does not connect remote MCP tools.",
                    code="invalid_value",
                    param=f"{param}[{index}].type",
                )
            case FunctionTool(name=name):
                if not name or name in seen:
                    problem = "Duplicate tool name" if name else "A tool needs a name"
                    raise ProtocolError(f"{problem}: '{name}'.", code="invalid_value", param=f"{param}[{index}].name")
                seen.add(name)


def check_tool_choice(choice: ToolChoice | None | UnsetType, param: str) -> None:
    """`auto`, `none`, `required` or a tool."""
    if isinstance(choice, str):
        _one_of(choice, ("none", "auto", "required"), param)


def function_tools(tools: Iterable[Tool] | None | UnsetType) -> tuple[FunctionTool, ...]:
    """The tools that the client runs."""
    if tools is None or tools is UNSET:
        return ()
    return tuple(tool for tool in tools if isinstance(tool, FunctionTool))


def plain_choice(choice: ToolChoice | None | UnsetType) -> str | ChooseFunction:
    """The choice as engines take it."""
    return choice if isinstance(choice, str | ChooseFunction) else "auto"


def _one_of(value: str, allowed: tuple[str, ...], param: str) -> None:
    if value not in allowed:
        listed = ", ".join(f"'{name}'" for name in allowed[:-1])
        message = f"Invalid value: '{value}'. Supported values are: {listed} and '{allowed[-1]}'."
        raise ProtocolError(message, code="invalid_value", param=param)


def _within(value: float | None | UnsetType, low: float, high: float, param: str, kind: str = "integer") -> None:
    if value is None or value is UNSET or low <= value <= high:
        return
    below = value < low
    bound = f">= {low}" if below else f"<= {high}"
    raise ProtocolError(
        f"Invalid '{param}': {kind} {'below minimum' if below else 'above maximum'} value. "
        f"Expected a value {bound}, but got {value} instead.",
        code=f"{kind}_{'below_min' if below else 'above_max'}_value",
        param=param,
    )
