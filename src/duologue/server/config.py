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
    ChooseMcp,
    FunctionTool,
    McpServerTool,
    NoiseReduction,
    PcmFormat,
    RealtimeSession,
    Reasoning,
    RetentionRatio,
    SemanticVad,
    ServerVad,
    TokenLimits,
    Tool,
    ToolChoice,
    Transcription,
    TranscriptionSession,
    TurnDetection,
)
from duologue.server.mcp import MOST_SERVERS, check_server

DEFAULT_INSTRUCTIONS = "You are a helpful voice assistant. Answer briefly, in the language that is spoken to you."
SESSION_SECONDS = 3600
SAMPLE_RATE_HZ = 24_000
LOGPROBS = "item.input_audio_transcription.logprobs"
DELAYS = EFFORTS = ("minimal", "low", "medium", "high", "xhigh")

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


def default_transcription(*, session_id: str, model: str, now_s: int) -> TranscriptionSession:
    """The session in force when a client connects in order to have its speech transcribed; `model` transcribes."""
    listening = AudioInput(
        format=PCM,
        transcription=Transcription(model=model, language=None, prompt=None),
        noise_reduction=None,
        turn_detection=complete_turn_detection(ServerVad(), answers=False),
    )
    return TranscriptionSession(
        object="realtime.transcription_session",
        id=session_id,
        expires_at=now_s + SESSION_SECONDS,
        audio=Audio(input=listening),
        include=None,
    )


def first_session(
    *, session_id: str, model: str, now_s: int, seconds: int, transcriber: str | None = None, wish: AnySession | None
) -> AnySession:
    """The session in force when a client connects; `wish` counts as its first update. Raises ProtocolError.

    With a `transcriber` (a name to show), or where the wish is one, it is a transcription session.
    """
    start: AnySession
    if transcriber is not None or isinstance(wish, TranscriptionSession):
        start = default_transcription(session_id=session_id, model=model or transcriber or "", now_s=now_s)
    else:
        start = default_session(session_id=session_id, model=model, now_s=now_s)
    start = replace(start, expires_at=now_s + seconds)
    return start if wish is None else updated(start, wish, has_spoken=False)


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


def input_settings(session: AnySession) -> AudioInput:
    """The user's side of the sound."""
    return given(given(session.audio, Audio()).input, AudioInput())


def output_settings(session: AnySession) -> AudioOutput:
    """The model's side of the sound."""
    return given(given(session.audio, Audio()).output, AudioOutput())


def turn_detection(session: AnySession) -> TurnDetection | None:
    """The turn detection in force, None for manual turns."""
    settings = input_settings(session).turn_detection
    return None if settings is UNSET else settings


def input_format(session: AnySession) -> AudioFormat:
    """The format of the user's sound on the wire."""
    return given_or(input_settings(session).format, None, PCM)


def output_format(session: AnySession) -> AudioFormat:
    """The format of the model's sound on the wire."""
    return given_or(output_settings(session).format, None, PCM)


def tools_of(session: AnySession) -> tuple[FunctionTool, ...]:
    """The tools that the client runs; a transcription session has none."""
    return function_tools(session.tools) if isinstance(session, RealtimeSession) else ()


def transcription(session: AnySession) -> Transcription | None:
    """The transcription that the client asked for, None where it wants no transcripts."""
    settings = input_settings(session).transcription
    return None if settings is UNSET else settings


def recognition(session: AnySession) -> tuple[str | None, str | None]:
    """Language and prompt for the recognizer; keywords count as more of the prompt, an only language as the language."""
    words = transcription(session)
    if words is None:
        return None, None
    languages = words.languages or ()
    language = words.language or (languages[0] if len(languages) == 1 else None)
    prompt = ", ".join([*([words.prompt] if words.prompt else []), *(words.keywords or ())])
    return language, prompt or None


def complete_turn_detection(settings: TurnDetection, *, answers: bool = True) -> TurnDetection:
    """Fill in what the client left out: clients read the effective values back.

    Where nothing `answers`, there is no word about answering.
    """
    match settings:
        case ServerVad():
            done: TurnDetection = ServerVad(
                threshold=_or(settings.threshold, 0.5),
                prefix_padding_ms=_or(settings.prefix_padding_ms, 300),
                silence_duration_ms=_or(settings.silence_duration_ms, 200),
                idle_timeout_ms=_or(settings.idle_timeout_ms, None) if answers else UNSET,
            )
        case SemanticVad():
            done = SemanticVad(eagerness=_or(settings.eagerness, "auto"))
    if not answers:
        return done
    create, interrupt = _or(settings.create_response, True), _or(settings.interrupt_response, True)
    return replace(done, create_response=create, interrupt_response=interrupt)


T = TypeVar("T")
D = TypeVar("D")


def _or(value: T | UnsetType, default: D) -> T | D:
    return default if value is UNSET else value


def updated(session: AnySession, update: AnySession, *, has_spoken: bool, busy: bool = False) -> AnySession:
    """The session after `session.update`; the old one stays in force where this raises ProtocolError.

    `has_spoken`: assistant audio exists, so the voice can change no more. `busy`: a response runs, so the speed cannot.
    """
    if isinstance(session, TranscriptionSession):
        return _updated_transcription(session, update)
    if not isinstance(update, RealtimeSession):
        raise ProtocolError("Passing a transcription session update event to a realtime session is not allowed.")
    check_modalities(update.output_modalities, "session.output_modalities")
    check_max_output_tokens(update.max_output_tokens, "session.max_output_tokens")
    check_tools(update.tools or (), "session.tools")
    check_tool_choice(update.tool_choice, "session.tool_choice")
    check_reasoning(update.reasoning, "session.reasoning")
    _check_truncation(update.truncation)
    _check_include(update.include)
    audio = given(update.audio, Audio())
    _check_input(given(audio.input, AudioInput()))
    _check_output(given(audio.output, AudioOutput()), output_settings(session), has_spoken=has_spoken, busy=busy)
    tracing = _checked_tracing(session, update)
    wish = replace(update, object=UNSET, id=UNSET, model=UNSET, expires_at=UNSET, tracing=tracing)
    merged = merge(session, wish)
    asked = update.tool_choice is not UNSET
    return replace(
        merged,
        tool_choice=settled_choice(merged.tool_choice or "auto", merged.tools, "session.tool_choice", asked=asked),
        instructions=_or_null(merged.instructions, ""),
        tools=_or_null(merged.tools, ()),
        max_output_tokens=_or_null(merged.max_output_tokens, "inf"),
        audio=Audio(input=_complete_input(input_settings(merged)), output=output_settings(merged)),
    )


def _updated_transcription(session: TranscriptionSession, update: AnySession) -> TranscriptionSession:
    if not isinstance(update, TranscriptionSession):
        raise ProtocolError("Passing a realtime session update event to a transcription session is not allowed.")
    _check_include(update.include)
    audio = given(update.audio, Audio())
    _check_input(given(audio.input, AudioInput()))
    if audio.output is not UNSET:
        raise ProtocolError(
            "Unknown parameter: 'session.audio.output'.", code="unknown_parameter", param="session.audio.output"
        )
    merged = merge(session, replace(update, object=UNSET, id=UNSET, expires_at=UNSET))
    return replace(merged, audio=Audio(input=_complete_input(input_settings(merged), answers=False)))


def _checked_tracing(session: RealtimeSession, update: RealtimeSession) -> Any:
    """Tracing that has begun goes on as it began: null afterwards changes nothing, another wish is refused."""
    if session.tracing is None or session.tracing is UNSET:
        return update.tracing
    if update.tracing in (None, UNSET, session.tracing):
        return UNSET
    raise ProtocolError(
        "Cannot update tracing: it cannot change once it is enabled.", code="invalid_value", param="session.tracing"
    )


def _check_truncation(truncation: str | RetentionRatio | UnsetType) -> None:
    if isinstance(truncation, str):
        _one_of(truncation, ("auto", "disabled"), "session.truncation")
    elif isinstance(truncation, RetentionRatio):
        _within(truncation.retention_ratio, 0, 1, "session.truncation.retention_ratio", "decimal")
        if isinstance(truncation.token_limits, TokenLimits):
            limit = truncation.token_limits.post_instructions
            _within(limit, 0, 1_000_000, "session.truncation.token_limits.post_instructions")


def _check_include(include: Iterable[str] | None | UnsetType) -> None:
    for index, name in enumerate(() if include is None or include is UNSET else include):
        if name != LOGPROBS:
            raise ProtocolError(
                f"Invalid value: '{name}'. Supported values are: '{LOGPROBS}'.",
                code="invalid_value",
                param=f"session.include[{index}]",
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


def _complete_input(settings: AudioInput, *, answers: bool = True) -> AudioInput:
    detection, words = settings.turn_detection, settings.transcription
    if isinstance(detection, ServerVad | SemanticVad):
        detection = complete_turn_detection(detection, answers=answers)
    if isinstance(words, Transcription):
        words = replace(words, language=_or(words.language, None), prompt=_or(words.prompt, None))
    return replace(settings, turn_detection=detection, transcription=words)


def _check_input(settings: AudioInput) -> None:
    check_format(settings.format, "session.audio.input.format")
    noise = settings.noise_reduction
    if isinstance(noise, NoiseReduction):
        _one_of(noise.type, ("near_field", "far_field"), "session.audio.input.noise_reduction.type")
    if isinstance(settings.transcription, Transcription) and isinstance(settings.transcription.delay, str):
        _one_of(settings.transcription.delay, DELAYS, "session.audio.input.transcription.delay")
    path = "session.audio.input.turn_detection"
    match settings.turn_detection:
        case ServerVad() as vad:
            _within(vad.threshold, 0, 1, f"{path}.threshold", "decimal")
            _within(vad.prefix_padding_ms, 0, 60_000, f"{path}.prefix_padding_ms")
            _within(vad.silence_duration_ms, 0, 60_000, f"{path}.silence_duration_ms")
            _within(vad.idle_timeout_ms, 5_000, 30_000, f"{path}.idle_timeout_ms")


def _check_output(settings: AudioOutput, current: AudioOutput, *, has_spoken: bool, busy: bool) -> None:
    check_format(settings.format, "session.audio.output.format")
    _within(settings.speed, 0.25, 1.5, "session.audio.output.speed", "decimal")
    if busy and settings.speed is not UNSET and settings.speed != current.speed:
        raise ProtocolError(
            "Cannot update the speed while a response is in progress.",
            code="invalid_value",
            param="session.audio.output.speed",
        )
    if has_spoken and settings.voice is not UNSET and settings.voice != current.voice:
        raise ProtocolError(
            "Cannot update a conversation's voice if assistant audio is present.",
            code="cannot_update_voice",
            param="session.audio.output.voice",
        )


def check_format(audio_format: AudioFormat | UnsetType, param: str) -> None:
    """Refuse rates that this server does not speak."""
    if isinstance(audio_format, PcmFormat) and audio_format.rate != SAMPLE_RATE_HZ:
        low = audio_format.rate < SAMPLE_RATE_HZ
        word, code = ("at least", "integer_below_min_value") if low else ("at most", "integer_above_max_value")
        raise ProtocolError(
            f"Invalid '{param}.rate': expected a value {word} {SAMPLE_RATE_HZ}, but got {audio_format.rate} instead.",
            code=code,
            param=f"{param}.rate",
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
    labels: set[str] = set()
    for index, tool in enumerate(() if tools is UNSET else tools):
        match tool:
            case McpServerTool(server_label=label):
                check_server(tool, f"{param}[{index}]")
                if label in labels or len(labels) == MOST_SERVERS:
                    problem = f"Duplicate server label: '{label}'" if label in labels else "Too many MCP servers"
                    raise ProtocolError(f"{problem}.", code="invalid_value", param=f"{param}[{index}].server_label")
                labels.add(label)
            case FunctionTool(name=name):
                if not name or name in seen:
                    problem = "Duplicate tool name" if name else "A tool needs a name"
                    raise ProtocolError(f"{problem}: '{name}'.", code="invalid_value", param=f"{param}[{index}].name")
                seen.add(name)


def check_tool_choice(choice: ToolChoice | None | UnsetType, param: str) -> None:
    """`auto`, `none`, `required` or a tool."""
    if isinstance(choice, str):
        _one_of(choice, ("none", "auto", "required"), param)


def check_reasoning(reasoning: Reasoning | None | UnsetType, param: str) -> None:
    """An effort that the protocol knows."""
    if isinstance(reasoning, Reasoning) and isinstance(reasoning.effort, str):
        _one_of(reasoning.effort, EFFORTS, f"{param}.effort")


def settled_choice(
    choice: ToolChoice, tools: Iterable[Tool] | None | UnsetType, param: str, *, asked: bool
) -> ToolChoice:
    """The choice that is in force with these tools. Raises ProtocolError where the client `asked` for what is not there.

    A choice that lost its tool to a later change of the tools is `auto` again: the client sees it in the answer.
    """
    match choice:
        case ChooseFunction(name=name):
            found, what = any(tool.name == name for tool in function_tools(tools)), f"function '{name}'"
        case ChooseMcp(server_label=label):
            servers = (tool for tool in tools or () if isinstance(tool, McpServerTool))
            found, what = any(server.server_label == label for server in servers), f"MCP server '{label}'"
        case _:
            return choice
    if asked and not found:
        raise ProtocolError(f"Invalid '{param}': there is no {what} in 'tools'.", code="invalid_value", param=param)
    return choice if found else "auto"


def function_tools(tools: Iterable[Tool] | None | UnsetType) -> tuple[FunctionTool, ...]:
    """The tools that the client runs."""
    if tools is None or tools is UNSET:
        return ()
    return tuple(tool for tool in tools if isinstance(tool, FunctionTool))


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
