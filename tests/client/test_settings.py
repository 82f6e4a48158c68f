from __future__ import annotations

from typing import Any

import msgspec
import pytest

from duologue.client.settings import ga_fields, merged, response_of, session_of
from duologue.errors import ConfigError
from duologue.protocol.session import AudioOutput, FunctionTool, ServerVad


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, None),
        ("none", None),
        ("disabled", None),
        ({"type": "none"}, None),
        ("semantic_vad", {"type": "semantic_vad"}),
        ({"type": "server_vad", "silence_duration_ms": 500}, {"type": "server_vad", "silence_duration_ms": 500}),
        (ServerVad(threshold=0.4), {"type": "server_vad", "threshold": 0.4}),
    ],
)
def test_spellings_of_turn_detection(given: Any, wanted: Any) -> None:
    assert ga_fields({"turn_detection": given}) == {"audio": {"input": {"turn_detection": wanted}}}


def test_names_of_2024_and_of_today_may_be_mixed() -> None:
    fields = ga_fields(
        {
            "modalities": ["text"],
            "max_response_output_tokens": 100,
            "temperature": 0.8,
            "audio": {"input": {"noise_reduction": None}},
            "input_audio_transcription": "whisper-1",
            "tools": [{"name": "t", "parameters": {}}, FunctionTool(name="u")],
        }
    )
    sent = msgspec.json.decode(msgspec.json.encode(session_of(fields)))
    assert sent == {
        "type": "realtime",
        "output_modalities": ["text"],
        "max_output_tokens": 100,
        "audio": {"input": {"noise_reduction": None, "transcription": {"model": "whisper-1"}}},
        "tools": [{"type": "function", "name": "t", "parameters": {}}, {"type": "function", "name": "u"}],
    }


def test_merging_is_deep_where_the_session_is() -> None:
    old = ga_fields({"voice": "ash", "turn_detection": {"type": "server_vad", "threshold": 0.9}})
    new = merged(old, ga_fields({"speed": 1.2, "turn_detection": "server_vad"}))
    assert new["audio"] == {
        "output": {"voice": "ash", "speed": 1.2},
        "input": {"turn_detection": {"type": "server_vad"}},
    }


def test_a_struct_can_stand_for_a_value() -> None:
    assert ga_fields({"audio": {"output": msgspec.to_builtins(AudioOutput(voice="ash"))}})["audio"] == {
        "output": {"voice": "ash"}
    }


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigError, match="colour"):
        session_of({"colour": "red"})
    with pytest.raises(ConfigError, match="speed"):
        session_of(ga_fields({"speed": "fast"}))
    with pytest.raises(ConfigError, match="nonsense"):
        response_of({"nonsense": 1})
    assert response_of({"modalities": ["text"], "metadata": {"a": "b"}}).output_modalities == ("text",)
