"""Every lock, in `session.update` and in `response.create`."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from told import Call, errors, policy, respond, update

from duologue.relay.locks import path_of
from duologue.relay.settings import DEFAULT_LOCKS, Lock

SESSION: dict[Lock, Any] = {
    "instructions": "be rude",
    "tools": [{"type": "function", "name": "t"}],
    "tool_choice": "none",
    "voice": "ash",
    "speed": 1.5,
    "input_format": {"type": "audio/pcmu"},
    "output_format": {"type": "audio/pcma"},
    "output_modalities": ["text"],
    "max_output_tokens": "inf",
    "turn_detection": None,
    "transcription": {"model": "whisper-1"},
    "noise_reduction": {"type": "near_field"},
    "prompt": {"id": "pmpt_1"},
    "tracing": "auto",
    "truncation": "disabled",
    "include": ["item.input_audio_transcription.logprobs"],
    "reasoning": {"effort": "high"},
    "parallel_tool_calls": True,
}
RESPONSE: dict[Lock, Any] = {
    "instructions": "be rude",
    "tools": [{"type": "function", "name": "t"}],
    "tool_choice": "none",
    "voice": "ash",
    "output_format": {"type": "audio/pcma"},
    "output_modalities": ["text"],
    "max_output_tokens": 4096,
    "prompt": {"id": "pmpt_1"},
    "metadata": {"a": "b"},
    "reasoning": {"effort": "high"},
    "parallel_tool_calls": True,
    "conversation": "none",
    "input": [],
}
ALWAYS_REFUSED = ("conversation", "input")


def nested(lock: Lock, value: Any) -> dict[str, Any]:
    for step in reversed(path_of(lock)):
        value = {step: value}
    return value  # type: ignore[no-any-return]


def test_every_lock_is_tried() -> None:
    assert {*SESSION, *RESPONSE, "model"} == set(get_args(Lock))


@pytest.mark.parametrize("lock", SESSION)
def test_a_locked_field_of_the_session_is_dropped(lock: Lock) -> None:
    field = nested(lock, SESSION[lock])
    bystander = {"truncation": "auto"} if lock != "truncation" else {"output_modalities": ["audio"]}
    ((_, sent),) = Call(policy(locked=(lock,))) >> update(**field, **bystander)
    assert sent["session"] == {"type": "realtime", **bystander}
    ((_, sent),) = Call(policy(locked=())) >> update(**field)
    assert sent["session"] == {"type": "realtime", **field}


@pytest.mark.parametrize("lock", SESSION)
def test_a_locked_field_of_the_session_is_refused(lock: Lock) -> None:
    call = Call(policy(locked=(lock,), on_locked="refuse"))
    where = ".".join(("session", *path_of(lock)))
    assert errors(call >> update(**nested(lock, SESSION[lock]))) == [("locked_field", where, "mine")]
    assert (call >> update())[0][0] == "up"


@pytest.mark.parametrize("lock", RESPONSE)
def test_a_locked_field_of_a_response_is_dropped_or_refused(lock: Lock) -> None:
    field = nested(lock, RESPONSE[lock])
    ignoring, refusing = Call(policy(locked=(lock,))), Call(policy(locked=(lock,), on_locked="refuse"))
    refusal = [("locked_field", ".".join(("response", *path_of(lock))), "mine")]
    if lock in ALWAYS_REFUSED:
        assert errors(ignoring >> respond(**field)) == refusal
    else:
        assert ignoring >> respond(**field) == [("up", {"type": "response.create", "event_id": "mine", "response": {}})]
    assert errors(refusing >> respond(**field)) == refusal
    ((_, sent),) = Call(policy(locked=())) >> respond(**field)
    assert sent["response"] == field


@pytest.mark.parametrize("on_locked", ["ignore", "refuse"])
def test_the_model_is_repeated_by_every_sdk_and_never_passed_on(on_locked: str) -> None:
    ((_, sent),) = Call(policy(on_locked=on_locked)) >> update(model="gpt-other")
    assert sent["session"] == {"type": "realtime"}
    ((_, sent),) = Call(policy(locked=())) >> update(model="gpt-other")
    assert sent["session"]["model"] == "gpt-other"


def test_a_null_does_not_clear_what_is_locked_below_it() -> None:
    # the session's `audio` cannot be null; a response's can
    call = Call(policy(locked=("voice",)))
    ((_, sent),) = call >> respond(audio=None)
    assert sent["response"] == {}


def test_what_the_server_sets_is_dropped() -> None:
    ((_, sent),) = Call(policy(locked=())) >> update(id="sess_1", object="realtime.session", expires_at=5)
    assert sent["session"] == {"type": "realtime"}


def test_locks_hold_in_transcription_sessions_too() -> None:
    call = Call(policy(session_types=("realtime", "transcription"), locked=("transcription", "include")))
    session = {"type": "transcription", "audio": {"input": {"transcription": {"model": "m"}, "turn_detection": None}}}
    ((_, sent),) = call >> {"type": "session.update", "session": session}
    assert sent["session"] == {"type": "transcription", "audio": {"input": {"turn_detection": None}}}


def test_the_defaults_lock_what_is_not_needed_to_talk() -> None:
    everything: dict[str, Any] = {}
    for lock in DEFAULT_LOCKS:
        if lock in SESSION:
            everything |= nested(lock, SESSION[lock])
    ((_, sent),) = Call(policy()) >> update(**everything, audio=nested("voice", "ash")["audio"])
    assert sent["session"] == {"type": "realtime", "audio": {"output": {"voice": "ash"}}}
