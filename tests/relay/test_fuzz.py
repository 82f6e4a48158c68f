"""Mutants of events against the judge; an oracle that shares no code with it looks at what reaches the upstream."""

from __future__ import annotations

import json
from collections import Counter
from random import Random

import pytest
from mutants import HIDDEN_CALL, HIDDEN_ITEM, LEGAL, LIMIT, Passed, inspect, mutant
from told import LOOKUP, SECRET, Call, function_call, item_event, secret_policy

from duologue.relay.commands import ToCaller, ToUpstream
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
