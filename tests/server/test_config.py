"""Session updates: all or nothing, deep only where the protocol nests, effective values returned."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from duologue.errors import ProtocolError
from duologue.protocol.session import RealtimeSession, TranscriptionSession
from duologue.server.config import default_session, updated

START = default_session(session_id="sess_1", model="scripted", now_s=0)


def update(changes: dict[str, Any], *, has_spoken: bool = False) -> dict[str, Any]:
    wish = msgspec.convert({"type": "realtime", **changes}, RealtimeSession)
    return msgspec.to_builtins(updated(START, wish, has_spoken=has_spoken))


def test_the_first_session_is_whole_and_in_the_order_of_the_wire() -> None:
    shown = msgspec.to_builtins(START)
    assert list(shown) == [
        "type", "object", "id", "model", "output_modalities", "instructions", "tools", "tool_choice",
        "max_output_tokens", "tracing", "truncation", "prompt", "expires_at", "audio", "include",
    ]  # fmt: skip
    assert shown["audio"]["input"]["turn_detection"] == {
        "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200,
        "idle_timeout_ms": None, "create_response": True, "interrupt_response": True,
    }  # fmt: skip


def test_only_what_is_set_changes() -> None:
    shown = update({"audio": {"input": {"turn_detection": None}}})
    assert shown["audio"]["input"]["turn_detection"] is None
    assert shown["audio"]["output"] == msgspec.to_builtins(START)["audio"]["output"]
    assert update({"instructions": ""})["instructions"] == ""
    assert update({"tools": None})["tools"] == ()


def test_what_the_client_leaves_out_is_filled_in() -> None:
    shown = update({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}, "transcription": {"model": "m"}}}})
    assert shown["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad", "eagerness": "auto", "create_response": True, "interrupt_response": True,
    }  # fmt: skip
    assert shown["audio"]["input"]["transcription"] == {"model": "m", "language": None, "prompt": None}


def test_the_server_s_own_fields_cannot_be_set() -> None:
    shown = update({"id": "mine", "model": "other", "expires_at": 1})
    assert (shown["id"], shown["model"]) == ("sess_1", "scripted")


TOOL = {"type": "function", "name": "look"}


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"output_modalities": ["text", "audio"]}, "invalid_value", "session.output_modalities"),
        ({"max_output_tokens": 0}, "integer_below_min_value", "session.max_output_tokens"),
        ({"max_output_tokens": 5000}, "integer_above_max_value", "session.max_output_tokens"),
        ({"tool_choice": "maybe"}, "invalid_value", "session.tool_choice"),
        ({"tool_choice": {"type": "function", "name": "look"}}, "invalid_value", "session.tool_choice"),
        ({"tool_choice": {"type": "mcp", "server_label": "docs"}}, "invalid_value", "session.tool_choice"),
        ({"tools": [TOOL, TOOL]}, "invalid_value", "session.tools[1].name"),
        ({"audio": {"output": {"speed": 2}}}, "decimal_above_max_value", "session.audio.output.speed"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            "integer_below_min_value",
            "session.audio.input.format.rate",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 1.5}}}},
            "decimal_above_max_value",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 1}}}},
            "integer_below_min_value",
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        update(changes)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_session_cannot_change_its_type() -> None:
    with pytest.raises(ProtocolError, match="transcription session update event to a realtime session"):
        updated(START, TranscriptionSession(), has_spoken=False)


def test_tracing_is_frozen_once_it_is_on() -> None:
    traced = updated(START, msgspec.convert({"type": "realtime", "tracing": "auto"}, RealtimeSession), has_spoken=False)
    for same in ("auto", None):
        again = msgspec.convert({"type": "realtime", "tracing": same}, RealtimeSession)
        assert updated(traced, again, has_spoken=False).tracing == "auto"
    other = msgspec.convert({"type": "realtime", "tracing": {"workflow_name": "x"}}, RealtimeSession)
    with pytest.raises(ProtocolError, match="tracing"):
        updated(traced, other, has_spoken=False)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"truncation": "always"}, "session.truncation"),
        ({"reasoning": {"effort": "heroic"}}, "session.reasoning.effort"),
        ({"truncation": {"type": "retention_ratio", "retention_ratio": 1.5}}, "session.truncation.retention_ratio"),
        ({"include": ["everything"]}, "session.include[0]"),
        (
            {"audio": {"input": {"transcription": {"model": "m", "delay": "soon"}}}},
            "session.audio.input.transcription.delay",
        ),
    ],
)
def test_unknown_wishes_are_refused(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        update(changes)
    assert caught.value.param == param


def test_what_clients_send_is_taken() -> None:
    wishes = {
        "tracing": None,
        "max_output_tokens": "inf",
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 9000}},
        "prompt": {"id": "pmpt_1"},
        "reasoning": {"effort": "low"},
        "parallel_tool_calls": False,
        "include": ["item.input_audio_transcription.logprobs"],
        "audio": {"input": {"format": {"type": "audio/pcmu"}, "noise_reduction": None}, "output": {"speed": 1}},
    }
    shown = update(wishes)
    assert {key: shown[key] for key in wishes if key != "audio"} == {
        k: v for k, v in wishes.items() if k != "audio"
    } | {"include": ("item.input_audio_transcription.logprobs",)}
    assert shown["audio"]["input"]["format"] == {"type": "audio/pcmu"}


def test_a_choice_that_loses_its_tool_is_auto_again() -> None:
    look, docs = (
        {"type": "function", "name": "look"},
        {"type": "mcp", "server_label": "docs", "server_url": "https://d"},
    )
    for choice in ({"type": "function", "name": "look"}, {"type": "mcp", "server_label": "docs"}):
        wish = msgspec.convert({"type": "realtime", "tools": [look, docs], "tool_choice": choice}, RealtimeSession)
        chosen = updated(START, wish, has_spoken=False)
        assert msgspec.to_builtins(chosen.tool_choice) == choice
        gone = msgspec.convert({"type": "realtime", "tools": []}, RealtimeSession)
        assert updated(chosen, gone, has_spoken=False).tool_choice == "auto"
