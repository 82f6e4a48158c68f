from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stagecraft import IN, cast_of

from duologue.agents.agent import RealtimeAgent
from duologue.agents.config import DEFAULTS, base_fields, changes, fields_of, voice_of
from duologue.client.settings import merged, session_of
from duologue.errors import ConfigError


def test_none_and_nothing_are_different() -> None:
    assert base_fields({})["audio"]["input"] == DEFAULTS["audio"]["input"]
    listening = base_fields({"turn_detection": None, "input_audio_transcription": None})["audio"]["input"]
    assert listening == {"turn_detection": None, "transcription": None}


def test_all_families_of_names_are_understood() -> None:
    flat = base_fields({"output_audio_format": "g711_ulaw", "modalities": ["audio", "text"], "model_name": "m"})
    nested = base_fields({"audio": {"output": {"format": "g711_ulaw"}}, "output_modalities": ["audio"]})
    assert flat == nested
    detection = base_fields({"audio": {"input": {"turn_detection": "server_vad"}}})["audio"]["input"]["turn_detection"]
    assert detection == {"type": "server_vad"}
    assert base_fields({"provider_data": {"tool_choice": "required"}})["tool_choice"] == "required"


@pytest.mark.parametrize("config", [{"instrctions": "x"}, {"audio": {"output": {"format": "mp3"}}}, {"speed": "fast"}])
def test_what_no_session_has_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        base_fields(config)


def test_a_prompt_that_the_next_agent_has_not_is_taken_back() -> None:
    old = fields_of({}, cast_of(RealtimeAgent("Ann", prompt={"id": "p"})), gate=False)
    new = fields_of({}, cast_of(RealtimeAgent("Bob")), gate=False)
    assert changes(old, new, sounded=False) == {"prompt": None}
    assert changes(new, old, sounded=False) == {"prompt": {"id": "p"}}


def test_input_guardrails_need_words_and_answer_themselves() -> None:
    cast = cast_of(RealtimeAgent("Ann", input_guardrails=[IN]))
    fields = fields_of(base_fields({"turn_detection": None}), cast, gate=True)
    assert fields["audio"]["input"]["turn_detection"] is None
    with pytest.raises(ConfigError, match="transcription"):
        fields_of(base_fields({"input_audio_transcription": None}), cast, gate=True)


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "instructions": st.sampled_from(["a", "b"]),
        "tools": st.sampled_from([[], [{"name": "t"}]]),
        "speed": st.sampled_from([1.0, 1.5]),
        "audio": st.fixed_dictionaries({"output": st.fixed_dictionaries({"voice": st.sampled_from(["x", "y"])})}),
    },
)


@given(FIELDS, FIELDS, st.booleans())
def test_changes_are_enough_and_no_more(old: dict[str, Any], new: dict[str, Any], sounded: bool) -> None:
    change = changes(old, new, sounded=sounded)
    after = merged(old, change)
    if not sounded:
        assert merged(after, new) == after, "all that the new settings say is in force"
    assert changes(after, new, sounded=sounded) == {}, "and nothing is sent twice"
    if sounded:
        assert voice_of(change) is None


OFF = [
    *(("audio", "input", name) for name in ("transcription", "noise_reduction", "turn_detection")),
    *((name,) for name in ("tracing", "prompt", "include", "reasoning", "max_output_tokens")),
]


@pytest.mark.parametrize("path", OFF, ids=".".join)
def test_whatever_may_be_off_can_be_turned_off_and_left_alone(path: tuple[str, ...]) -> None:
    config: Any = None
    for name in reversed(path):
        config = {name: config}
    sent: Any = msgspec.to_builtins(session_of(base_fields(config, {})))
    for name in path[:-1]:
        sent = sent[name]
    assert sent[path[-1]] is None
    silent: Any = msgspec.to_builtins(session_of(base_fields({"speed": 1.5}, {})))
    assert set(silent) == {"type", "audio"}
    assert silent["audio"] == {"output": {"speed": 1.5}}
    assert changes({}, base_fields(config, {}), sounded=False) == base_fields(config, {})
