"""Our events against the typed models of the `openai` package: same types, nothing that its models refuse.

Held by this test: `duologue.protocol.client_events`, `duologue.protocol.server_events`, `duologue.protocol.items`,
`duologue.protocol.responses` and `duologue.protocol.session`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from their_models import NOT_IN_THEIR_MODELS, THEIR_CLIENT_EVENTS, THEIR_SERVER_EVENTS, strangers

from duologue.protocol import client_events as said
from duologue.protocol import items, responses, session
from duologue.protocol import server_events as wire
from duologue.protocol.codec import (
    CLIENT_EVENT_TYPES,
    SERVER_EVENT_TYPES,
    decode_client_event,
    decode_server_event,
    encode,
)


def test_every_event_of_theirs_is_one_of_ours() -> None:
    assert set(THEIR_SERVER_EVENTS) - set(SERVER_EVENT_TYPES) == set()
    assert set(THEIR_CLIENT_EVENTS) - set(CLIENT_EVENT_TYPES) == set()


def test_every_event_of_ours_is_one_of_theirs() -> None:
    assert set(SERVER_EVENT_TYPES) - set(THEIR_SERVER_EVENTS) == set()
    assert set(CLIENT_EVENT_TYPES) - set(THEIR_CLIENT_EVENTS) == set()


AT = {"response_id": "resp_1", "item_id": "item_2", "output_index": 0}
PART = {**AT, "content_index": 0}
VOICE = session.AudioOutput(format=session.PcmFormat(), voice="alloy", speed=1.0)
TURNS = session.ServerVad(
    threshold=0.5, prefix_padding_ms=300, silence_duration_ms=200, idle_timeout_ms=None, create_response=True,
    interrupt_response=True,
)  # fmt: skip
WEATHER = session.FunctionTool(
    name="get_weather", description="Weather of a place", parameters={"type": "object", "properties": {}}
)
REMOTE = session.McpServerTool(
    server_label="docs", server_url="https://example.com/mcp", headers={"x": "y"}, allowed_tools=["find"],
    require_approval="never",
)  # fmt: skip


def realtime(**changes: Any) -> session.RealtimeSession:
    fields: dict[str, Any] = {
        "object": "realtime.session", "id": "sess_1", "model": "gpt-realtime", "output_modalities": ("audio",),
        "instructions": "Be kind.", "tools": (WEATHER,), "tool_choice": "auto", "max_output_tokens": "inf",
        "tracing": None, "truncation": "auto", "prompt": None, "expires_at": 1_800_000_000, "include": None,
        "audio": session.Audio(
            input=session.AudioInput(
                format=session.PcmFormat(), transcription=None, noise_reduction=None, turn_detection=TURNS
            ),
            output=VOICE,
        ),
    }  # fmt: skip
    return session.RealtimeSession(**{**fields, **changes})


SESSIONS: tuple[session.AnySession, ...] = (
    realtime(),
    realtime(
        output_modalities=("text",), tools=(WEATHER, REMOTE), tool_choice=session.ChooseFunction(name="get_weather"),
        max_output_tokens=4096, tracing="auto", prompt=session.Prompt(id="pmpt_1", version="2", variables={"a": "b"}),
        truncation=session.RetentionRatio(
            retention_ratio=0.8, token_limits=session.TokenLimits(post_instructions=1000)
        ),
        include=("item.input_audio_transcription.logprobs",), reasoning=session.Reasoning(effort="low"),
        parallel_tool_calls=True,
        audio=session.Audio(
            input=session.AudioInput(
                format=session.PcmuFormat(),
                transcription=session.Transcription(model="whisper-1", language="en", prompt="names", delay="low",
                                                    keywords=("Paris",), languages=("en", "fr")),
                noise_reduction=session.NoiseReduction(type="near_field", strength=0.5),
                turn_detection=session.SemanticVad(eagerness="auto", create_response=True, interrupt_response=True),
            ),
            output=session.AudioOutput(format=session.PcmaFormat(), voice=session.VoiceId(id="voice_1"), speed=1.5),
        ),
    ),
    realtime(
        tracing=session.Tracing(workflow_name="calls", group_id="g", metadata={"a": 1}), truncation="disabled",
        tool_choice=session.ChooseMcp(server_label="docs", name="find"),
        audio=session.Audio(
            input=session.AudioInput(format=session.PcmFormat(), transcription=None, turn_detection=None), output=VOICE
        ),
    ),
    session.TranscriptionSession(
        object="realtime.transcription_session", id="sess_2", expires_at=1_800_000_000, include=None,
        audio=session.Audio(
            input=session.AudioInput(
                format=session.PcmFormat(), transcription=session.Transcription(model="whisper-1"),
                noise_reduction=None,
                turn_detection=session.ServerVad(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=200),
            )
        ),
    ),
)  # fmt: skip

ITEMS: tuple[items.Item, ...] = (
    items.Message(id="item_1", status="completed", role="user", content=(items.InputText(text="hi"),)),
    items.Message(id="item_1", status="completed", role="user", content=(items.InputAudio(),)),
    items.Message(
        id="item_1", status="completed", role="user",
        content=(items.InputImage(image_url="data:image/png;base64,", detail="auto"),
                 items.InputAudio(audio=b"\0\0", transcript="hello")),
    ),
    items.Message(id="item_1", status="completed", role="system", content=(items.InputText(text="be brief"),)),
    items.Message(id="item_2", status="in_progress", role="assistant", content=()),
    items.Message(id="item_2", status="incomplete", role="assistant", content=(items.OutputAudio(transcript="Hel"),)),
    items.Message(
        id="item_2", object="realtime.item", status="completed", role="assistant",
        content=(items.OutputText(text="Hello"), items.OutputAudio(transcript="Hello", audio=b"\0\0")),
    ),
    items.FunctionCall(id="item_2", status="in_progress", call_id="call_1", name="get_weather"),
    items.FunctionCall(id="item_2", status="completed", call_id="call_1", name="get_weather", arguments="{}"),
    items.FunctionCallOutput(id="item_3", status="completed", call_id="call_1", output="{}"),
    items.McpListTools(
        id="item_4", server_label="docs",
        tools=(items.McpTool(name="find", input_schema={}, description="Find", annotations={}),),
    ),
    items.McpCall(id="item_5", server_label="docs", name="find", arguments="{}", output="found", error=None,
                  approval_request_id=None),
    items.McpCall(id="item_5", server_label="docs", name="find", error=items.McpError(type="http_error", code=502,
                                                                                     message="Bad gateway")),
    items.McpCall(id="item_5", server_label="docs", name="find",
                  error=items.McpError(type="tool_execution_error", message="No such page")),
    items.McpApprovalRequest(id="item_6", server_label="docs", name="find", arguments="{}"),
    items.McpApprovalResponse(id="item_7", approval_request_id="item_6", approve=True, reason=None),
)  # fmt: skip

USAGE = responses.Usage(
    total_tokens=30, input_tokens=20, output_tokens=10,
    input_token_details=responses.InputTokens(
        text_tokens=10, audio_tokens=10, cached_tokens=4, cached_tokens_details=responses.CachedTokens(text_tokens=4)
    ),
    output_token_details=responses.OutputTokens(text_tokens=4, audio_tokens=6),
)  # fmt: skip


def response(**changes: Any) -> responses.Response:
    fields: dict[str, Any] = {
        "id": "resp_1", "status": "in_progress", "conversation_id": "conv_1", "output_modalities": ("audio",),
        "max_output_tokens": "inf", "metadata": {"topic": "weather"},
        "audio": responses.ResponseAudio(output=responses.ResponseAudioOutput(format=session.PcmFormat(), voice="ash")),
    }  # fmt: skip
    return responses.Response(**{**fields, **changes})


def ended(status: str, **details: Any) -> responses.Response:
    told = responses.StatusDetails(type=status, **details)
    return response(status=status, status_details=told, output=ITEMS[4:9], usage=USAGE)


RESPONSES = (
    response(),
    response(conversation_id=None, metadata=None, max_output_tokens=100),
    response(status="completed", output=ITEMS[4:9], usage=USAGE),
    ended("cancelled", reason="turn_detected"),
    ended("cancelled", reason="client_cancelled"),
    ended("incomplete", reason="max_output_tokens"),
    ended("failed", error=responses.FailureDetails(type="server_error", code="server_error", message="It broke.")),
)
LOGPROBS = (items.LogProb(token="hi", logprob=-0.1, bytes_=(104, 105)),)
TOKENS = responses.TokenUsage(total_tokens=3, input_tokens=2, output_tokens=1)


def server_events() -> Iterator[wire.ServerEvent]:
    """What our server sends, each kind at least once and as rich as it gets."""
    e: dict[str, Any] = {"event_id": "event_1"}
    yield wire.Error(**e, error=wire.ErrorDetails(type="server_error", message="It broke."))
    yield wire.Error(
        **e,
        error=wire.ErrorDetails(type="invalid_request_error", code="c", message="m", param="p", event_id="mine"),
    )
    for shown in SESSIONS:
        yield wire.SessionCreated(**e, session=shown)
        yield wire.SessionUpdated(**e, session=shown)
    for item in ITEMS:
        yield wire.ConversationItemAdded(**e, item=item)
        yield wire.ConversationItemCreated(**e, item=item, previous_item_id="item_0")
        yield wire.ConversationItemDone(**e, item=item, previous_item_id="item_0")
        yield wire.ConversationItemRetrieved(**e, item=item)
        yield wire.ResponseOutputItemAdded(**e, response_id="resp_1", output_index=0, item=item)
        yield wire.ResponseOutputItemDone(**e, response_id="resp_1", output_index=0, item=item)
    for answer in RESPONSES:
        yield wire.ResponseCreated(**e, response=answer)
        yield wire.ResponseDone(**e, response=answer)
    yield wire.ConversationItemTruncated(**e, item_id="item_2", content_index=0, audio_end_ms=1200)
    yield wire.ConversationItemDeleted(**e, item_id="item_2")
    yield wire.InputAudioTranscriptionDelta(**e, item_id="item_1", delta="hi", logprobs=LOGPROBS, obfuscation="x")
    yield wire.InputAudioTranscriptionDelta(**e, item_id="item_1", delta="hi", logprobs=None)
    heard = {**e, "item_id": "item_1", "content_index": 0}
    yield wire.InputAudioTranscriptionCompleted(**heard, transcript="hi", usage=TOKENS, logprobs=LOGPROBS)
    yield wire.InputAudioTranscriptionCompleted(
        **heard, transcript="hi", usage=responses.DurationUsage(seconds=1.25), languages=[{"code": "en"}]
    )
    yield wire.InputAudioTranscriptionSegment(**heard, id="seg_1", text="hi", speaker="A", start=0.0, end=0.5)
    yield wire.InputAudioTranscriptionFailed(
        **heard, error=wire.TranscriptionError(type="server_error", code="c", message="m", param="p")
    )
    yield wire.InputAudioBufferCommitted(**e, item_id="item_1")
    yield wire.InputAudioBufferCommitted(**e, item_id="item_1", previous_item_id="item_0")
    yield wire.InputAudioBufferCleared(**e)
    yield wire.InputAudioBufferSpeechStarted(**e, item_id="item_1", audio_start_ms=0)
    yield wire.InputAudioBufferSpeechStopped(**e, item_id="item_1", audio_end_ms=900)
    yield wire.InputAudioBufferTimeoutTriggered(**e, item_id="item_1", audio_start_ms=0, audio_end_ms=900)
    for played in (wire.OutputAudioBufferStarted, wire.OutputAudioBufferStopped, wire.OutputAudioBufferCleared):
        yield played(**e, response_id="resp_1")
    for part in (items.TextPart(), items.TextPart(text="hi"), items.AudioPart(), items.AudioPart(transcript="hi")):
        yield wire.ResponseContentPartAdded(**e, **PART, part=part)
        yield wire.ResponseContentPartDone(**e, **PART, part=part)
    yield wire.ResponseOutputTextDelta(**e, **PART, delta="hi", obfuscation="x")
    yield wire.ResponseOutputTextDone(**e, **PART, text="hi")
    yield wire.ResponseOutputAudioTranscriptDelta(**e, **PART, delta="hi", obfuscation="x")
    yield wire.ResponseOutputAudioTranscriptDone(**e, **PART, transcript="hi")
    yield wire.ResponseOutputAudioDelta(**e, **PART, delta=b"\0\0")
    yield wire.ResponseOutputAudioDone(**e, **PART)
    yield wire.ResponseFunctionCallArgumentsDelta(**e, **AT, call_id="call_1", delta="{")
    yield wire.ResponseFunctionCallArgumentsDone(**e, **AT, call_id="call_1", name="get_weather", arguments="{}")
    yield wire.ResponseMcpCallArgumentsDelta(**e, **AT, delta="{", obfuscation="x")
    yield wire.ResponseMcpCallArgumentsDone(**e, **AT, arguments="{}")
    for call in (wire.ResponseMcpCallInProgress, wire.ResponseMcpCallCompleted, wire.ResponseMcpCallFailed):
        yield call(**e, output_index=0, item_id="item_5")
    for listing in (wire.McpListToolsInProgress, wire.McpListToolsCompleted, wire.McpListToolsFailed):
        yield listing(**e, item_id="item_4")
    for name in ("tokens", "requests"):
        limit = responses.RateLimit(name=name, limit=1000, remaining=900, reset_seconds=0.5)
        yield wire.RateLimitsUpdated(**e, rate_limits=(limit,))
    yield wire.ConversationCreated(**e, conversation=wire.Conversation(id="conv_1"))
    yield wire.InputAudioBufferDtmfEventReceived(**e, event="#", received_at=1_800_000_000)


SENT = list(server_events())


def test_every_kind_of_server_event_is_checked() -> None:
    assert {event.__struct_config__.tag for event in SENT} == set(SERVER_EVENT_TYPES)


@pytest.mark.parametrize("event", SENT, ids=lambda event: event.__struct_config__.tag)
def test_their_models_take_what_we_send(event: wire.ServerEvent) -> None:
    frame = encode(event)
    model = THEIR_SERVER_EVENTS[str(event.__struct_config__.tag)]
    understood = model.model_validate_json(frame, strict=True)
    unknown = set(strangers(understood)) - set(NOT_IN_THEIR_MODELS)
    if event.__struct_config__.tag == "input_audio_buffer.dtmf_event_received":
        unknown -= {"event_id"}  # 3: the one event that comes without an id; an id does no harm
    assert unknown == set()
    assert decode_server_event(understood.to_json(exclude_unset=True)) == event


def test_no_exception_is_kept_for_nothing() -> None:
    seen = set()
    for event in SENT:
        model = THEIR_SERVER_EVENTS[str(event.__struct_config__.tag)]
        seen |= set(strangers(model.model_validate_json(encode(event), strict=True)))
    assert set(NOT_IN_THEIR_MODELS) <= seen


def client_frames() -> Iterator[dict[str, Any]]:
    """Every client event that their models can express, with all they can hold."""
    for item in ITEMS:
        yield {"type": "conversation.item.create", "item": plain(item)}
        yield {"type": "conversation.item.create", "item": plain(item), "previous_item_id": "root", "event_id": "mine"}
    for shown in SESSIONS:
        asked = {key: value for key, value in plain(shown).items() if key not in ("id", "object", "expires_at")}
        yield {"type": "session.update", "session": asked}
    yield {"type": "session.update", "session": {"type": "realtime"}}
    for kind in ("input_audio_buffer.commit", "input_audio_buffer.clear", "output_audio_buffer.clear", "response.create",
                 "response.cancel"):  # fmt: skip
        yield {"type": kind}
        yield {"type": kind, "event_id": "mine"}
    for kind in ("conversation.item.delete", "conversation.item.retrieve"):
        yield {"type": kind, "item_id": "item_1"}
    yield {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 0}
    yield {"type": "input_audio_buffer.append", "audio": "AAAA"}
    yield {"type": "response.cancel", "response_id": "resp_1"}
    for audio in ({"format": {"type": "audio/pcmu"}, "voice": "cedar"}, {"voice": {"id": "voice_1"}}):
        yield {
            "type": "response.create",
            "response": {
                "conversation": "none", "input": [plain(item) for item in ITEMS], "instructions": "Be brief.",
                "output_modalities": ["audio"], "audio": {"output": audio}, "tools": [plain(WEATHER), plain(REMOTE)],
                "tool_choice": {"type": "function", "name": "get_weather"}, "max_output_tokens": 100,
                "metadata": {"a": "b"}, "prompt": {"id": "pmpt_1", "variables": {"a": "b"}},
                "reasoning": {"effort": "high"}, "parallel_tool_calls": False,
            },
        }  # fmt: skip
    yield {"type": "response.create", "response": {"input": [], "tool_choice": "required", "max_output_tokens": "inf"}}


def plain(value: Any) -> dict[str, Any]:
    out: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return out


CLIENT_FRAMES = list(client_frames())


def test_every_kind_of_client_event_is_checked() -> None:
    assert {frame["type"] for frame in CLIENT_FRAMES} == set(THEIR_CLIENT_EVENTS)


@pytest.mark.parametrize("frame", CLIENT_FRAMES, ids=lambda frame: frame["type"])
def test_we_take_what_their_models_write(frame: dict[str, Any]) -> None:
    model = THEIR_CLIENT_EVENTS[frame["type"]].model_validate(frame, strict=True)
    assert set(strangers(model)) == set()
    written = model.to_json(exclude_unset=True)
    event = decode_client_event(written)
    assert plain(event) == {**defaults(event), **frame}


def defaults(event: said.ClientEvent) -> dict[str, Any]:
    """Nothing of ours is added on the way in but what the protocol itself defaults."""
    return {"content_index": 0} if isinstance(event, said.ConversationItemTruncate) else {}


def test_an_item_reference_is_taken_where_it_may_stand() -> None:
    event = decode_client_event(
        '{"type":"response.create","response":{"input":[{"type":"item_reference","id":"item_1"}]}}'
    )
    assert isinstance(event, said.ResponseCreate)
    assert isinstance(event.response, responses.ResponseCreateParams)
    assert event.response.input == (items.ItemReference(id="item_1"),)
