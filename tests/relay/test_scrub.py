"""Nothing secret reaches the caller, whatever the upstream says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from told import LOOKUP, SECRET, Call, item_event, message, output_item, response, secret_policy, update

from duologue.relay.commands import ToCaller
from duologue.relay.policy import Policy
from duologue.relay.scrub import LONGEST_MESSAGE, QUOTE, WITHHELD
from duologue.relay.settings import Rules

KEY = "sk-live-0123456789"


def shown(call: Call, event: dict[str, Any]) -> dict[str, Any]:
    ((where, seen),) = call << event
    assert where == "down"
    return seen  # type: ignore[no-any-return]


def session(**more: Any) -> dict[str, Any]:
    return {"type": "session.updated", "event_id": "e", "session": {"type": "realtime", "id": "s", **more}}


@pytest.mark.parametrize(
    ("field", "value", "seen"),
    [
        ("instructions", SECRET, ""),
        ("instructions", "the provider's own prompt", ""),
        ("tools", [{"type": "function", "name": "find_order"}, {"type": "mcp", "server_label": "x"}, 5], []),
        ("tools", "find_order", []),
        ("tool_choice", {"type": "function", "name": "find_order"}, "auto"),
        ("tool_choice", "required", "required"),
        ("prompt", {"id": "pmpt_secret"}, None),
        ("tracing", {"workflow_name": "w"}, None),
        ("voice", "marin", "unset"),
        ("client_secret", {"value": "ek_123"}, "unset"),
        ("something_new", SECRET, "unset"),
        ("audio", {"output": {"voice": "marin"}}, {"output": {"voice": "marin"}}),
        ("max_output_tokens", 100, 100),
    ],
)
def test_a_session_is_shown_without_what_is_secret(field: str, value: Any, seen: Any) -> None:
    for kind in ("session.updated", "session.created"):
        event = shown(Call(secret_policy()).opened(), {**session(**{field: value}), "type": kind})
        assert event["session"].get(field, "unset") == seen


def test_what_the_caller_set_itself_is_shown() -> None:
    call = Call(secret_policy(locked=())).opened()
    tool = {"type": "function", "name": "paint"}
    call >> update(instructions="paint", tools=[tool], prompt={"id": "mine"})
    seen = shown(call, session(instructions="paint", tools=[tool, {"type": "function", "name": "find_order"}],
                               tool_choice={"type": "function", "name": "paint"}, prompt={"id": "mine"}))  # fmt: skip
    assert seen["session"] == {
        "type": "realtime", "id": "s", "instructions": "paint", "tools": [tool],
        "tool_choice": {"type": "function", "name": "paint"}, "prompt": {"id": "mine"},
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["created", "done"])
def test_a_response_is_shown_without_what_is_secret(kind: str) -> None:
    secrets = {"instructions": SECRET, "tools": [{"name": "find_order"}], "prompt": {"id": "p"}}
    told = Call(secret_policy()).opened() << response(kind, metadata={"a": "b"}, voice="marin", **secrets)
    assert told[0][1] == response(kind, metadata={"a": "b"})


@pytest.mark.parametrize(
    "message",
    [
        f"Invalid instructions: {SECRET}",
        f"Invalid instructions: {SECRET[10 : 10 + QUOTE]}…",
        "Invalid schema for function 'find_order'.",
        "Tool description 'Looks into the order book of Brolly.' is too short",
        f"Incorrect API key provided: {KEY}",
    ],
)
def test_an_error_that_quotes_a_secret_keeps_its_code_only(message: str) -> None:
    error = {"type": "invalid_request_error", "code": "invalid_value", "message": message, "param": "session.x",
             "event_id": "mine", "debug": SECRET}  # fmt: skip
    seen = shown(Call(secret_policy()).opened(), {"type": "error", "event_id": "e", "error": error})
    assert seen["error"] == {"type": "invalid_request_error", "code": "invalid_value", "message": WITHHELD,
                             "param": "session.x", "event_id": "mine"}  # fmt: skip


def test_an_error_that_quotes_nothing_is_shown_without_keys() -> None:
    error = {"type": "t", "code": None, "message": "Rate limit for org-AbCdEf123 with sk-proj-12345678*** reached",
             "param": {"a": 1}}  # fmt: skip
    seen = shown(Call(secret_policy()).opened(), {"type": "error", "event_id": "e", "error": error})
    assert seen["error"]["message"] == "Rate limit for *** with *** reached"
    assert seen["error"]["param"] is None
    assert shown(Call(secret_policy()).opened(), {"type": "error"})["error"]["message"] == WITHHELD


def test_an_error_is_not_told_at_any_length() -> None:
    seen = shown(Call(secret_policy()).opened(), {"type": "error", "error": {"message": "no " * 9999}})
    assert len(seen["error"]["message"]) == LONGEST_MESSAGE


def test_items_of_kinds_that_callers_do_not_know_are_hidden() -> None:
    call = Call(secret_policy()).opened()
    for item in (
        {"id": "a", "type": "mcp_list_tools", "server_label": "crm", "tools": [{"name": "x"}]},
        {"id": "b", "type": "mcp_call", "server_label": "crm", "name": "x"},
        {"id": "c", "type": "reasoning", "summary": SECRET},
        {"id": "d", "type": "message", "role": "system", "content": []},
        "nonsense",
    ):
        assert call << item_event("added", item) == []  # type: ignore[arg-type]
        assert call << output_item("added", item) == []  # type: ignore[arg-type]
    seen = shown(call, response("done", output=[{"id": "c", "type": "reasoning"}, message("m")]))
    assert [item["id"] for item in seen["response"]["output"]] == ["m"]
    assert call << {"type": "conversation.item.truncated", "item_id": "c"} == []


def test_mcp_servers_of_the_callers_are_shown() -> None:
    call = Call(secret_policy(locked=(), caller_mcp=True)).opened()
    call >> update(tools=[{"type": "mcp", "server_label": "wiki", "server_url": "https://wiki.example"}])
    item = {"id": "a", "type": "mcp_call", "server_label": "wiki", "name": "x"}
    assert shown(call, item_event("added", item))["item"] == item


def test_the_key_is_taken_out_even_of_what_the_model_says() -> None:
    call = Call(secret_policy()).opened()
    event = {"type": "response.output_text.delta", "event_id": "e", "response_id": "r", "item_id": "i",
             "output_index": 0, "content_index": 0, "delta": f"it is {KEY}"}  # fmt: skip
    assert shown(call, event)["delta"] == ""


def test_a_secret_key_of_an_object_is_taken_out_too() -> None:
    seen = shown(
        Call(secret_policy()).opened(), {"type": "input_audio_buffer.cleared", SECRET: 1, "x": [{"y": SECRET}]}
    )
    assert seen == {"type": "input_audio_buffer.cleared", "x": [{"y": ""}]}


def test_a_short_secret_is_a_secret() -> None:
    call = Call(Policy(rules=Rules(), session={"instructions": "Be mum!"})).opened()
    seen = shown(call, {"type": "input_audio_buffer.cleared", "x": "Be mum! please"})
    assert seen["x"] == ""


PIECES = st.sampled_from([
    SECRET, LOOKUP.description, "find_order", KEY, f"<{SECRET}>", SECRET + "\n", "plain", 'quo"te\\', "", f"x {KEY} y",
])  # fmt: skip
KEYS = st.sampled_from([
    "instructions", "tools", "description", "session", "response", "item", "error", "message", "note", "name", "status",
    "output", "metadata", "previous_item_id", "item_id", "id", "type", "param", "tool_choice", "prompt", SECRET, KEY,
])  # fmt: skip
anything = st.recursive(
    PIECES | st.integers(0, 3) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
KINDS = [name for name in Rules().upstream_events if name != "response.output_audio.delta"]


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(KEYS, anything, max_size=5)), max_size=6))
def test_no_stream_of_an_upstream_shows_a_secret(events: list[tuple[str, dict[str, Any]]]) -> None:
    call = Call(secret_policy())
    for kind, body in events:
        frame = json.dumps({**body, "type": kind}).encode()
        for command in call.judge.from_upstream(frame, 0):
            if isinstance(command, ToCaller):
                text = json.dumps(strip_speech(json.loads(command.frame)))
                assert SECRET not in text
                assert "Looks into the order book" not in text
                assert KEY not in command.frame.decode()


def strip_speech(event: dict[str, Any]) -> dict[str, Any]:
    """Without the places where the model's own words stand."""

    def walk(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {name: walk(child, name) for name, child in value.items()}
        if isinstance(value, list):
            return [walk(child, key) for child in value]
        spoken = event["type"].startswith(("response.", "conversation.item.")) and key == "output"
        return "" if spoken else value

    return walk(event, "")  # type: ignore[no-any-return]
