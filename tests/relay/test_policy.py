"""The judge of a call: limits, budgets, the opening, hooks, and what passes as it is."""

from __future__ import annotations

import base64
import json
from itertools import cycle
from typing import Any

import pytest
from told import (
    CALLER,
    LOOKUP,
    SECRET,
    Call,
    errors,
    function_call,
    item_event,
    message,
    policy,
    read,
    respond,
    response,
    said,
    secret_policy,
    update,
)

from duologue.ids import CountingIds
from duologue.relay.commands import Allowance, Caller
from duologue.relay.policy import Hooks, Judge, Policy, Refuse, opening_session
from duologue.relay.settings import Limits, Rules

SECOND = base64.b64encode(bytes(48_000)).decode()
CREATED = {"type": "session.created", "event_id": "e1", "session": {"type": "realtime", "id": "s", "model": "m",
           "instructions": "the upstream's own", "tools": []}}  # fmt: skip
UPDATED = {"type": "session.updated", "event_id": "e2", "session": {"type": "realtime", "id": "s", "model": "m",
           "instructions": SECRET, "audio": {"output": {"voice": "marin"}},
           "tools": [{"type": "function", "name": "find_order"}]}}  # fmt: skip


def append(audio: str = SECOND, **more: Any) -> dict[str, Any]:
    return {"type": "input_audio_buffer.append", "audio": audio, **more}


def delta(response_id: str = "r", item_id: str = "i", index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_audio.delta", "event_id": "e", "response_id": response_id, "item_id": item_id,
            "output_index": index, "content_index": 0, "delta": "AAAA"}  # fmt: skip


# --- the opening


def test_the_policy_speaks_first() -> None:
    (sent,) = Call(secret_policy()).opening
    assert sent[0] == "up"
    session = sent[1]["session"]
    assert session["instructions"] == SECRET
    assert [tool["name"] for tool in session["tools"]] == ["find_order"]


def test_a_policy_without_a_session_says_nothing() -> None:
    call = Call(policy())
    assert call.opening == []
    ((where, event),) = call << CREATED
    assert (where, event["type"]) == ("down", "session.created")


def test_the_caller_sees_the_first_session_with_the_policy_in_force() -> None:
    call = Call(secret_policy())
    assert call << CREATED == []
    ((_, event),) = call << UPDATED
    assert (event["type"], event["event_id"]) == ("session.created", "e1")
    assert event["session"]["audio"]["output"]["voice"] == "marin"
    assert event["session"]["instructions"] == ""
    assert event["session"]["tools"] == []
    ((_, event),) = call << UPDATED
    assert event["type"] == "session.updated"


def test_an_upstream_that_does_not_acknowledge_keeps_nobody_waiting() -> None:
    call = Call(secret_policy())
    call << CREATED
    call.now_ms = 2_999
    assert call.wake() == []
    assert call.judge.wake_at_ms == 3_000
    call.now_ms = 3_000
    assert [event["type"] for _, event in call.wake()] == ["session.created"]
    call = Call(secret_policy())
    call << CREATED
    assert [event["type"] for _, event in call << delta()] == ["session.created", "response.output_audio.delta"]


def test_a_session_that_the_upstream_refuses_ends_the_call_and_tells_the_caller_nothing() -> None:
    call = Call(secret_policy())
    own = call.opening[0][1]["event_id"]
    refusal = {"type": "error", "event_id": "e", "error": {"type": "x", "message": SECRET, "event_id": own}}
    assert call << refusal == [("close", 1011, "the upstream refused the session", "upstream")]
    assert call >> said("hello") == []


def test_what_a_client_secret_carries_is_in_force_before_the_caller_sees_a_session() -> None:
    judge = Judge(secret_policy(), CALLER, Allowance(), CountingIds())
    carried = json.dumps(update(instructions="obey", audio={"output": {"speed": 1.2}})).encode()
    own, theirs = read(judge.begin(0, carried))
    assert own[1]["session"]["instructions"] == SECRET
    assert theirs[1]["session"] == {"type": "realtime", "audio": {"output": {"speed": 1.2}}}
    session = {"type": "realtime", "id": "s"}
    for kind in ("session.created", "session.updated"):
        assert judge.from_upstream(json.dumps({"type": kind, "event_id": "e", "session": session}).encode(), 0) == []
    in_force = {**session, "audio": {"output": {"speed": 1.2}}}
    last = {"type": "session.updated", "event_id": "e", "session": in_force}
    ((where, event),) = read(judge.from_upstream(json.dumps(last).encode(), 0))
    assert (where, event["type"], event["session"]["audio"]) == ("down", "session.created", in_force["audio"])


def test_each_caller_may_have_a_session_of_its_own() -> None:
    def session(base: dict[str, Any], caller: Caller) -> dict[str, Any]:
        return {**base, "instructions": f"You serve {caller.user}."}

    rules = Policy(session={"instructions": "-"}, hooks=Hooks(session=session), server_tools=(LOOKUP,))
    opening = opening_session(rules, CALLER)
    assert opening["instructions"] == "You serve ann."
    assert [tool["name"] for tool in opening["tools"]] == ["find_order"]
    call = Call(rules)
    shown = {"type": "realtime", "instructions": "You serve ann."}
    call << {"type": "session.created", "session": shown}
    ((_, event),) = call << {"type": "session.updated", "session": shown}
    assert event["session"]["instructions"] == ""


def test_a_session_hook_that_returns_no_tools_is_the_operators_mistake() -> None:
    rules = Policy(hooks=Hooks(session=lambda session, caller: {**session, "tools": 5}))
    with pytest.raises(ValueError, match="tools cannot be used"):
        Judge(rules, CALLER, Allowance(), CountingIds())


def test_a_caller_that_no_session_is_for_gets_no_call() -> None:
    rules = Policy(hooks=Hooks(session=lambda session, caller: {"ben": session}[caller.user]))
    with pytest.raises(ValueError, match="session hook failed: KeyError"):
        Judge(rules, CALLER, Allowance(), CountingIds())


# --- what passes as it is


def test_sound_passes_as_it_is_in_both_directions() -> None:
    call = Call(policy()).opened()
    assert call >> append() == [("pass", "input_audio_buffer.append")]
    assert call << delta() == [("pass", "response.output_audio.delta")]


def test_denied_sound_does_not_pass() -> None:
    call = Call(policy(caller_events_denied=("input_audio_buffer.append",),
                       upstream_events_denied=("response.output_audio.delta",))).opened()  # fmt: skip
    assert errors(call >> append()) == [("refused_by_policy", "type", None)]
    assert call << delta() == []


def test_sound_of_hidden_items_does_not_pass() -> None:
    call = Call(secret_policy()).opened()
    call << item_event("added", function_call("i", "c", status="in_progress"))
    assert call << delta() == []
    assert call << delta(item_id="other") == [("pass", "response.output_audio.delta")]


def test_sound_in_another_spelling_is_encoded_anew() -> None:
    call = Call(policy())
    assert call >> b'{"audio":"AAAA","type":"input_audio_buffer.append"}' == [
        ("up", {"type": "input_audio_buffer.append", "audio": "AAAA"})
    ]


# --- what the caller may send


@pytest.mark.parametrize("kind", ["output_audio_buffer.clear", "session.close", "", "Session.Update"])
def test_what_is_not_on_the_list_is_refused(kind: str) -> None:
    assert errors(Call(policy()) >> {"type": kind, "event_id": "mine"}) == [("refused_by_policy", "type", "mine")]


def test_what_is_on_the_deny_list_is_refused() -> None:
    call = Call(policy(caller_events_denied=("response.create",)))
    assert errors(call >> respond()) == [("refused_by_policy", "type", "mine")]


def test_an_event_with_strange_fields_is_refused() -> None:
    assert errors(Call(policy()) >> update(Instructions="x")) == [("unknown_parameter", "session.Instructions", "mine")]
    assert errors(Call(policy()) >> respond(temperature=1)) == [
        ("unknown_parameter", "response.temperature", "mine")
    ]  # fmt: skip


def test_an_event_of_several_mistakes_does_not_pass_for_the_first_is_told() -> None:
    (code, _, event_id) = errors(Call(policy()) >> {"type": "response.cancel", "event_id": "mine", "response_id": 5})[0]
    assert (code, event_id) == ("invalid_type", "mine")


# --- limits


def test_events_beyond_the_rate_are_refused_until_time_passes() -> None:
    call = Call(policy(limits=Limits(events_per_s=10, events_burst=3)))
    passed = [call >> {"type": "input_audio_buffer.clear"} for _ in range(4)]
    assert [one[0][0] for one in passed] == ["up", "up", "up", "down"]
    assert errors(passed[3])[0][0] == "rate_limit_exceeded"
    call.now_ms = 100
    assert (call >> {"type": "input_audio_buffer.clear"})[0][0] == "up"


def test_large_events_count_as_several() -> None:
    call = Call(policy(limits=Limits(events_per_s=10, events_burst=5)))
    assert (call >> said("x" * 40_000))[0][0] == "up"
    assert errors(call >> said("x" * 40_000))[0][0] == "rate_limit_exceeded"
    assert (call >> said("x"))[0][0] == "up"
    call = Call(policy(limits=Limits(events_per_s=10, events_burst=5)))
    assert call >> append() == [("pass", "input_audio_buffer.append")]


def test_sound_beyond_the_rate_is_refused_in_either_spelling() -> None:
    call = Call(policy(limits=Limits(audio_s_per_minute=2)))
    assert call >> append() == [("pass", "input_audio_buffer.append")]
    spaced = json.dumps({"audio": SECOND, "type": "input_audio_buffer.append"}).encode()
    assert (call >> spaced)[0][0] == "up"
    for frame in (append(), spaced, said("x", item=None)):
        if isinstance(frame, dict) and frame["type"] == "conversation.item.create":
            audio = {"type": "input_audio", "audio": SECOND}
            frame = {**frame, "item": {"type": "message", "role": "user", "content": [audio]}}
        assert errors(call >> frame)[0][0] == "rate_limit_exceeded"
    call.now_ms = 30_000
    assert call >> append() == [("pass", "input_audio_buffer.append")]


def test_sound_is_counted_in_the_format_in_force() -> None:
    call = Call(policy(limits=Limits(audio_s_per_minute=2)))
    narrow = {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}
    call << {"type": "session.created", "session": narrow}
    assert call >> append(base64.b64encode(bytes(16_000)).decode()) == [("pass", "input_audio_buffer.append")]
    assert errors(call >> append("AAAA" * 3))[0][0] == "rate_limit_exceeded"


def test_a_huge_event_ends_the_call() -> None:
    call = Call(policy(limits=Limits(event_bytes=1000)))
    assert call >> append() == [("close", 1009, f"an event of {len(SECOND) + 47} bytes, more than 1000", "caller")]
    assert call >> append("AAAA") == []


def test_a_caller_that_is_refused_too_often_is_cut_off() -> None:
    call = Call(policy(limits=Limits(refusals_per_minute=2)))
    assert [(call >> said("x", role="system"))[0][0] for _ in range(2)] == ["down", "down"]
    assert call >> said("x", role="system") == [("close", 1008, "too many refused events", "caller")]
    assert call >> said("x") == []
    assert call << delta() == []


def test_a_call_ends_after_its_time() -> None:
    call = Call(policy(limits=Limits(session_s=60, idle_s=60)))
    call.now_ms = 59_000
    call >> said("x")
    assert call.judge.wake_at_ms == 60_000
    call.now_ms = 60_000
    error, close = call.wake()
    assert error[1]["error"]["code"] == "session_expired"
    assert close == ("close", 4000, "invalid_request_error.session_expired", "relay")
    assert call.judge.wake_at_ms is None


def test_a_silent_call_ends() -> None:
    call = Call(policy(limits=Limits(idle_s=10)))
    call.now_ms = 6_000
    assert call >> append("AAAA") == [("pass", "input_audio_buffer.append")]
    call.now_ms = 8_000
    assert call << delta() == [("pass", "response.output_audio.delta")]
    assert call.judge.wake_at_ms == 18_000
    call.now_ms = 17_999
    assert call.wake() == []
    call.now_ms = 18_000
    assert call.wake()[1] == ("close", 4000, "invalid_request_error.idle_timeout", "relay")


USAGE = {"total_tokens": 1000, "input_tokens": 500, "output_tokens": 500}


@pytest.mark.parametrize(
    ("limits", "allowance"),
    [
        (Limits(tokens_per_session=1000), Allowance()),
        (Limits(usd_per_session=0.0099), Allowance()),
        (Limits(), Allowance(tokens=1000)),
        (Limits(), Allowance(usd=0.0099)),
    ],
)
def test_a_used_up_budget_ends_the_call(limits: Limits, allowance: Allowance) -> None:
    # 500 text tokens read at 4 $ and 500 written at 16 $ a million
    call = Call(secret_policy(limits=limits), allowance).opened()
    shown, spent, error, close = call << response("done", usage=USAGE)
    assert shown[1]["type"] == "response.done"
    assert spent == ("spent", 1000, pytest.approx(0.01))
    assert error[1]["error"]["code"] == "insufficient_quota"
    assert close == ("close", 4000, "invalid_request_error.insufficient_quota", "relay")


def test_a_budget_that_lasts_ends_nothing() -> None:
    call = Call(secret_policy(limits=Limits(usd_per_session=0.02)), Allowance(tokens=1001)).opened()
    assert len(call << response("done", usage=USAGE)) == 2


def test_a_call_without_allowance_does_not_begin() -> None:
    call = Call(secret_policy(), Allowance(tokens=0))
    assert [told[0] for told in call.opening] == ["down", "close"]


def test_an_allowance_may_shrink_meanwhile() -> None:
    call = Call(policy())
    assert call.judge.allow(Allowance(usd=1), 0) == []
    assert len(call.judge.allow(Allowance(usd=0), 0)) == 2


def test_a_dollar_bound_without_a_price_ends_the_call() -> None:
    rules = Policy(limits=Limits(usd_per_session=5), model="home-made")
    assert (Call(rules) << response("done", usage=USAGE))[-1][0] == "close"
    assert len(Call(Policy(model="home-made")) << response("done", usage=USAGE)) == 2


def test_a_response_is_owed_for_from_the_wish_to_the_bill_under_a_limit_per_day() -> None:
    call = Call(policy(), Allowance(tokens=100)).opened()
    assert not call.judge.owes
    call >> respond()
    assert call.judge.owes
    # refused, so nothing is owed
    call << {"type": "error", "event_id": "e", "error": {"type": "invalid_request_error", "message": "no"}}
    assert not call.judge.owes
    call >> respond()
    call << response("created", "a")
    call << response("created", "b")
    call << response("done", "a")
    assert call.judge.owes
    bill = response("done", "b", usage={"total_tokens": 7, "input_tokens": 3, "output_tokens": 4})
    assert read(call.judge.settle(json.dumps(response("created", "c")).encode())) == []
    assert read(call.judge.settle(json.dumps(bill).encode()))[0][:2] == ("spent", 7)
    assert call.judge.owes
    for nonsense in (b"{", b'{"type":"response.done"}', b'{"type":"response.done","response":{"id":"c","usage":3}}'):
        assert read(call.judge.settle(nonsense)) == []
    assert not call.judge.owes
    free = Call(policy()).opened()
    free >> respond()
    assert not free.judge.owes


def test_transcripts_are_counted() -> None:
    call = Call(policy())
    heard = {"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
    call << {"type": "session.created", "session": heard}
    done = {"type": "conversation.item.input_audio_transcription.completed", "event_id": "e", "item_id": "u",
            "content_index": 0, "transcript": "hi", "usage": {"type": "duration", "seconds": 60}}  # fmt: skip
    shown, spent = call << done
    assert shown[1] == done
    assert spent == ("spent", None, pytest.approx(0.017))


# --- hooks


def test_a_hook_may_change_drop_or_refuse_what_the_caller_sends() -> None:
    def hook(event: dict[str, Any], caller: Caller) -> dict[str, Any] | None | Refuse:
        if event["type"] == "response.cancel":
            return None
        if event["type"] == "input_audio_buffer.clear":
            return Refuse("not now", code="busy")
        return {**event, "event_id": caller.user}

    call = Call(Policy(hooks=Hooks(caller_event=hook)))
    assert (call >> respond())[0][1]["event_id"] == "ann"
    assert call >> {"type": "response.cancel"} == []
    assert errors(call >> {"type": "input_audio_buffer.clear", "event_id": "mine"}) == [("busy", None, "mine")]
    assert call >> append("AAAA") == [("pass", "input_audio_buffer.append")]


def test_a_hook_stands_under_the_rules() -> None:
    call = Call(Policy(hooks=Hooks(caller_event=lambda event, caller: said("obey", role="system"))))
    assert errors(call >> respond())[0][0] == "refused_by_policy"
    call = Call(Policy(hooks=Hooks(caller_event=lambda event, caller: {"type": "output_audio_buffer.clear"})))
    assert errors(call >> respond())[0][0] == "refused_by_policy"
    call = Call(Policy(session={"instructions": SECRET},
                       hooks=Hooks(upstream_event=lambda event, caller: {**event, "note": SECRET}))).opened()  # fmt: skip
    assert (call << {"type": "input_audio_buffer.cleared"})[0][1]["note"] == ""


def test_a_hook_sees_and_shows_only_what_the_caller_may_see() -> None:
    seen = []

    def hook(event: dict[str, Any], caller: Caller) -> dict[str, Any]:
        seen.append(event["type"])
        return {**event, "type": "rate_limits.updated"}

    call = Call(Policy(hooks=Hooks(upstream_event=hook)))
    assert call << {"type": "rate_limits.updated", "rate_limits": []} == []
    assert call << {"type": "input_audio_buffer.cleared"} == []
    assert seen == ["input_audio_buffer.cleared"]


def test_a_hook_that_fails_lets_nothing_pass() -> None:
    def broken(event: dict[str, Any], caller: Caller) -> dict[str, Any]:
        raise RuntimeError(SECRET)

    call = Call(Policy(hooks=Hooks(caller_event=broken, upstream_event=broken)))
    assert errors(call >> respond()) == [("server_error", None, "mine")]
    assert call << {"type": "input_audio_buffer.cleared"} == []


def test_a_hook_sees_sound_only_on_request() -> None:
    call = Call(Policy(hooks=Hooks(caller_event=lambda event, caller: None, audio=True)))
    assert call >> append() == []
    call = Call(Policy(hooks=Hooks(upstream_event=lambda event, caller: None, audio=True)))
    assert call << delta() == []
    call = Call(Policy(hooks=Hooks(upstream_event=lambda event, caller: None)))
    assert call << delta() == [("pass", "response.output_audio.delta")]
    assert call << {"type": "input_audio_buffer.cleared"} == []


# --- the upstream's nonsense


@pytest.mark.parametrize(
    "frame", [b"", b"[]", b"nonsense", b"\xff", b'{"type":5}', b"{}", b'{"type":"unheard.of"}', b"[" * 100_000]
)
def test_what_the_upstream_should_not_send_is_dropped(frame: bytes) -> None:
    assert Call(policy()) << frame == []


def test_limits_of_the_provider_are_the_operators_business() -> None:
    assert Call(policy()) << {"type": "rate_limits.updated", "rate_limits": []} == []


def test_the_words_of_the_model_pass() -> None:
    call = Call(secret_policy()).opened()
    ((_, event),) = call << item_event("done", message("i", f"I was told: {SECRET}"))
    assert SECRET in event["item"]["content"][0]["transcript"]


def test_a_policy_is_a_value_that_shows_no_secret() -> None:
    assert Policy() == Policy(rules=Rules(), limits=Limits())
    assert SECRET not in repr(secret_policy())
    assert "sk-live" not in repr(secret_policy())


@pytest.mark.parametrize("lengths", [(960,), (960, 4800), (960, 960, 960, 480), (48, 4800, 960)])
def test_sound_is_paid_ahead_to_the_byte(lengths: tuple[int, ...]) -> None:
    call = Call(policy(limits=Limits(audio_s_per_minute=60, events_burst=10_000)))
    most = 60 * 48_000
    sent = 0
    for length in cycle(lengths):
        frame = b'{"type":"input_audio_buffer.append","audio":"%s"}' % base64.b64encode(bytes(length))
        if not call.judge.caller_passes(frame, 0):
            break
        sent += length
    assert most - length < sent <= most


def test_events_of_sound_are_paid_ahead_one_by_one() -> None:
    call = Call(policy(limits=Limits(events_burst=25, audio_s_per_minute=1e6)))
    frame = b'{"type":"input_audio_buffer.append","audio":"AAAA"}'
    assert sum(call.judge.caller_passes(frame, 0) for _ in range(100)) == 25


def test_what_is_paid_ahead_is_there_for_other_events() -> None:
    call = Call(policy(limits=Limits(events_burst=10)))
    assert call.judge.caller_passes(b'{"type":"input_audio_buffer.append","audio":"AAAA"}', 0)
    assert [(call >> {"type": "input_audio_buffer.commit"})[0][0] for _ in range(10)] == ["up"] * 9 + ["down"]
