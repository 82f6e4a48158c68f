"""Mutants of events against the judge; an oracle that shares no code with it looks at what reaches the upstream."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

import pytest
from mutants import HIDDEN_CALL, HIDDEN_ITEM, LEGAL, LIMIT, Passed, inspect, mutant
from told import LOOKUP, SECRET, Call, function_call, item_event, message, output_item, response, secret_policy

from duologue.relay.commands import RunTool, ToCaller, ToUpstream
from duologue.relay.policy import Policy
from duologue.relay.settings import Limits, Lock

FREE = Limits(event_bytes=LIMIT, events_per_s=1e9, events_burst=10**9, audio_s_per_minute=1e9, refusals_per_minute=1e9)
A_CALL = 2_000


def call(**rules: object) -> Call:
    """A call under the default policy with a hidden item in it, and without bounds on its rate."""
    begun = Call(secret_policy(limits=FREE, **rules)).opened()
    begun << item_event("added", function_call(HIDDEN_ITEM, HIDDEN_CALL))
    return begun


def play(count: int, seed: int, **rules: object) -> Counter[str]:
    """Send mutants and look at all that follows."""
    random, outcomes = Random(seed), Counter[str]()
    judge = call(**rules).judge
    while count > 0:
        for frame in mutant(random):
            count -= 1
            if judge.caller_passes(frame, 0):
                inspect(frame)
                outcomes["passed"] += 1
                continue
            commands = judge.from_caller(frame, 0)
            outcomes[type(commands[0]).__name__ if commands else "nothing"] += 1
            for command in commands:
                if isinstance(command, ToUpstream):
                    inspect(command.frame)
                elif isinstance(command, ToCaller):
                    error = json.loads(command.frame)
                    assert error["type"] == "error"
                    assert SECRET not in command.frame.decode()
                    assert str(LOOKUP.description) not in command.frame.decode()
        if judge.wake_at_ms is None or count % A_CALL == 0:
            judge = call(**rules).judge
    return outcomes


def test_no_mutant_gets_a_forbidden_event_or_field_past_the_policy() -> None:
    outcomes = play(20_000, seed=1)
    # a fuzzer that is always refused finds nothing
    assert outcomes["ToUpstream"] > 2_000, outcomes
    assert outcomes["ToCaller"] > 2_000, outcomes
    assert outcomes["passed"] > 50, outcomes
    assert outcomes["CloseCall"] > 5, outcomes


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(10, 20))
def test_a_million_mutants(seed: int) -> None:
    play(100_000, seed=seed)


@pytest.mark.parametrize(
    "rules",
    [
        *({"locked": locked} for locked in ((), ("tools", "input", "conversation"))),
        {"roles": ("user", "system")},
        {"session_types": ("realtime", "transcription")},
        {"item_types": ("message", "function_call_output", "mcp_approval_response")},
        {"caller_events": (*Policy().rules.caller_events, "output_audio_buffer.clear")},
    ],
)
def test_the_oracle_notices_a_policy_with_a_hole(rules: dict[str, tuple[Lock, ...]]) -> None:
    with pytest.raises(Passed):
        play(20_000, seed=2, **rules)


@pytest.mark.parametrize("event", LEGAL, ids=range(len(LEGAL)))
def test_the_oracle_lets_legal_events_pass(event: dict[str, object]) -> None:
    inspect(json.dumps(event).encode())
    assert (call() >> event)[0][0] in ("up", "pass")


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"response.cancel","type":"response.cancel"}',
        b'{"type":"response.cancel","Type":"x"}',
        b'{"type":"response.create","response":{"instructions":"x"}}',
        b'{"type":"response.create","response":{"audio":{"output":{"voice":{"instructions":"x"}}}}}',
        b'{"type":"response.cancel","response_id":{"a":1}}',
        b' {"type":"response.cancel"}',
        b'{"type":"response.cancel","response_id":NaN}',
    ],
)
def test_the_oracle_stops_what_it_should(frame: bytes) -> None:
    with pytest.raises(Passed):
        inspect(frame)


WRONG = (None, 5, -1, True, 1.5, "", "i1", "find_order", SECRET, [], [1], {}, {"a": 1}, {"id": "i1"}, [{"id": "i1"}])
SAID: list[dict[str, Any]] = [
    {"type": "session.created", "event_id": "e", "session": {
        "type": "realtime", "model": "m", "tool_choice": {"type": "function", "name": "x"}, "instructions": SECRET,
        "audio": {"input": {"format": {"type": "audio/pcm"}, "transcription": {"model": "m"}}},
        "tools": [{"type": "function", "name": "find_order"}, {"type": "mcp", "server_label": "x"}]}},
    {"type": "session.updated", "event_id": "e", "session": {"type": "realtime", "instructions": SECRET}},
    {"type": "error", "event_id": "e", "error": {"type": "x", "code": "c", "message": SECRET, "event_id": "event_3"}},
    response("created"),
    output_item("added", function_call("i1", "c1", status="in_progress")),
    item_event("added", function_call("i1", "c1", status="in_progress"), "i0"),
    {"type": "response.function_call_arguments.delta", "response_id": "r", "item_id": "i1", "output_index": 0, "delta": ""},
    output_item("done", function_call("i1", "c1")),
    output_item("added", message("i2"), 1),
    item_event("added", {"id": "i3", "type": "mcp_call", "server_label": "x"}, "i1"),
    {"type": "response.output_text.delta", "response_id": "r", "item_id": "i2", "output_index": 1, "delta": "hi"},
    {"type": "input_audio_buffer.committed", "previous_item_id": "i1", "item_id": "i4"},
    {"type": "conversation.item.deleted", "item_id": "i0"},
    {"type": "conversation.item.input_audio_transcription.completed", "item_id": "i4", "usage": {"type": "duration"}},
    response("done", output=[function_call("i1", "c1"), message("i2")], usage={"total_tokens": 5}),
]  # fmt: skip


def wronged(value: Any, random: Random) -> Any:
    """The value with something missing or of another type, here and there."""
    if isinstance(value, dict):
        return {
            key: random.choice(WRONG) if random.random() < 0.06 else wronged(child, random)
            for key, child in value.items()
            if random.random() > 0.02
        }
    return [wronged(child, random) for child in value] if isinstance(value, list) else value


def listen(count: int, seed: int) -> None:
    """An upstream that sends its events at random, and not as they should be."""
    random = Random(seed)
    for number in range(count):
        if number % 40 == 0:
            judge = call().judge
        event = wronged(random.choice(SAID), random)
        for command in judge.from_upstream(json.dumps(event).encode(), 0):
            if isinstance(command, RunTool) and random.random() < 0.7:
                judge.tool_done(command.call_id, "42", 0)
            if isinstance(command, ToCaller) and json.loads(command.frame)["type"].startswith(("error", "session.")):
                assert SECRET not in command.frame.decode()


def test_an_upstream_out_of_its_mind_crashes_nothing() -> None:
    listen(10_000, seed=1)


@pytest.mark.deep
def test_an_upstream_out_of_its_mind_crashes_nothing_for_long() -> None:
    listen(500_000, seed=2)
