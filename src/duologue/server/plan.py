"""What a response is to do: the session's settings with the overrides of `response.create`, checked and frozen."""

from __future__ import annotations

from msgspec import UNSET, Struct
from msgspec.json import encode

from duologue.engines.base import LlmRequest, VoiceSettings
from duologue.errors import ProtocolError
from duologue.ids import IdSource
from duologue.protocol.items import InputAudio, Item, Message, OutputAudio
from duologue.protocol.responses import (
    Response,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseCreateParams,
)
from duologue.protocol.session import (
    AudioFormat,
    FunctionTool,
    McpServerTool,
    Modality,
    RealtimeSession,
    RetentionRatio,
    ToolChoice,
    VoiceId,
)
from duologue.server import config
from duologue.server.conversation import Conversation
from duologue.server.mcp import as_functions, server_tools


class Plan(Struct, frozen=True, kw_only=True):
    """All that a response needs to know, fixed when it is created."""

    in_conversation: bool
    own_items: tuple[Item, ...] | None
    instructions: str
    modalities: tuple[Modality, ...]
    tools: tuple[FunctionTool, ...]
    servers: tuple[McpServerTool, ...]
    tool_choice: ToolChoice
    parallel_tool_calls: bool
    max_output_tokens: int | None
    language: str | None
    voice: VoiceSettings | None
    audio_format: AudioFormat
    output: ResponseAudioOutput
    metadata: dict[str, str] | None
    truncation: str | RetentionRatio
    speech_ids: tuple[str, ...]
    last_id: str | None

    @property
    def newest_speech_id(self) -> str | None:
        """The user's speech that the response answers, None where something else came last."""
        return self.last_id if self.last_id in self.speech_ids else None

    def response(self, response_id: str, conversation_id: str | None) -> Response:
        """The response object as it begins."""
        return Response(
            id=response_id,
            status="in_progress",
            conversation_id=conversation_id,
            output_modalities=self.modalities,
            max_output_tokens=self.max_output_tokens or "inf",
            audio=ResponseAudio(output=self.output),
            metadata=self.metadata,
        )

    def items(self, conversation: Conversation) -> tuple[Item, ...]:
        """The context, with the transcripts known by now."""
        if self.own_items is None:
            return as_functions(item for item in conversation.history.values() if not _in_progress(item))
        return as_functions(conversation.current(item) for item in self.own_items)

    @property
    def preamble(self) -> tuple[str, ...]:
        """What the model reads before all items."""
        return (self.instructions, *(encode(tool).decode() for tool in self.tools))

    def request(self, items: tuple[Item, ...]) -> LlmRequest:
        """What the model is asked."""
        return LlmRequest(
            items=items,
            instructions=self.instructions,
            tools=self.tools,
            tool_choice=self.tool_choice,
            parallel_tool_calls=self.parallel_tool_calls,
            max_output_tokens=self.max_output_tokens,
            language=self.language,
        )


def make_plan(
    params: ResponseCreateParams, session: RealtimeSession, conversation: Conversation, new_id: IdSource
) -> Plan:
    """Settle what a response is to do. Raises ProtocolError."""
    _check(params)
    tools = config.given_or(params.tools, session.tools, ())
    choice: ToolChoice = config.given_or(params.tool_choice, session.tool_choice, "auto")
    chosen = params.tool_choice not in (UNSET, None)
    choice = config.settled_choice(choice, tools, "response.tool_choice", asked=chosen)
    in_conversation = params.conversation != "none"
    own = None
    if params.input is not UNSET and params.input is not None:
        own = conversation.resolve(params.input, new_id, config.input_format(session))
    items = tuple(conversation.history.values()) if own is None else own
    modalities: tuple[Modality, ...] = config.given_or(params.output_modalities, session.output_modalities, ("audio",))
    instructions = config.given_or(params.instructions, session.instructions, "")
    output = config.output_settings(session)
    asked = config.given(config.given(params.audio, ResponseAudio()).output, ResponseAudioOutput())
    voice: str | VoiceId = config.given_or(asked.voice, output.voice, "alloy")
    audio_format: AudioFormat = config.given_or(asked.format, output.format, config.PCM)
    limit = config.given_or(params.max_output_tokens, session.max_output_tokens, "inf")
    language, _ = config.recognition(session)
    speed = 1.0 if output.speed is UNSET else output.speed
    name = voice.id if isinstance(voice, VoiceId) else voice
    return Plan(
        in_conversation=in_conversation,
        own_items=own,
        instructions=instructions,
        modalities=modalities,
        tools=config.function_tools(tools),
        servers=server_tools(tools),
        tool_choice=choice,
        parallel_tool_calls=config.given_or(params.parallel_tool_calls, session.parallel_tool_calls, True),
        max_output_tokens=limit if isinstance(limit, int) else None,
        language=language,
        voice=VoiceSettings(voice=name, speed=speed, language=language) if modalities == ("audio",) else None,
        audio_format=audio_format,
        output=ResponseAudioOutput(format=audio_format, voice=name),
        metadata=params.metadata or None,
        truncation=config.given_or(session.truncation, None, "auto"),
        speech_ids=_speech_ids(items),
        last_id=str(items[-1].id) if items else None,
    )


def _check(params: ResponseCreateParams) -> None:
    if params.conversation not in (UNSET, None, "auto", "none"):
        message = f"Invalid value: '{params.conversation}'. Supported values are: 'auto' and 'none'."
        raise ProtocolError(message, code="invalid_value", param="response.conversation")
    config.check_modalities(params.output_modalities, "response.output_modalities")
    config.check_max_output_tokens(params.max_output_tokens, "response.max_output_tokens")
    config.check_tools(params.tools or (), "response.tools")
    config.check_tool_choice(params.tool_choice, "response.tool_choice")
    config.check_reasoning(params.reasoning, "response.reasoning")
    audio = config.given(config.given(params.audio, ResponseAudio()).output, ResponseAudioOutput())
    config.check_format(audio.format, "response.audio.output.format")
    metadata = params.metadata or {}
    if len(metadata) > 16 or any(len(key) > 64 or len(value) > 512 for key, value in metadata.items()):
        raise ProtocolError(
            "Invalid 'response.metadata': at most 16 pairs, keys up to 64 and values up to 512 characters.",
            code="invalid_value",
            param="response.metadata",
        )


def _speech_ids(items: tuple[Item, ...]) -> tuple[str, ...]:
    """Speech of the user that no transcript is known of, in order; only what came after the last answer counts."""
    found: list[str] = []
    for item in items:
        if not isinstance(item, Message):
            continue
        if any(isinstance(part, OutputAudio) for part in item.content):
            found.clear()
        elif any(isinstance(part, InputAudio) and part.transcript is None for part in item.content):
            found.append(str(item.id))
    return tuple(found)


def _in_progress(item: Item) -> bool:
    return isinstance(item, Message) and item.status == "in_progress"
