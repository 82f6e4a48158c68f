"""Which items, tools and sessions callers may bring."""

from __future__ import annotations

from typing import Any

import pytest
from told import Call, errors, function_call, item_event, message, policy, respond, said, secret_policy, update

TOOL = {"type": "function", "name": "paint", "parameters": {"type": "object", "properties": {"색": {}}}}
MCP = {"type": "mcp", "server_label": "wiki", "server_url": "https://wiki.example"}


def create(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "event_id": "mine", "item": item, **more}


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_roles_that_callers_may_not_speak_in(role: str) -> None:
    assert errors(Call(policy()) >> said("x", role=role)) == [("refused_by_policy", "item.role", "mine")]
    assert (Call(policy(roles=("user", role))) >> said("x", role=role))[0][0] == "up"
    call = Call(policy(locked=()))
    assert errors(call >> respond(input=[said("x")["item"], said("x", role=role)["item"]])) == [
        ("refused_by_policy", "response.input[1].role", "mine")
    ]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
        {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
        {"type": "mcp_list_tools", "server_label": "x", "tools": []},
        {"type": "mcp_call", "server_label": "x", "name": "y"},
    ],
)
def test_items_that_callers_may_not_create(item: dict[str, Any]) -> None:
    assert errors(Call(policy()) >> create(item)) == [("refused_by_policy", "item.type", "mine")]


def test_an_answer_to_a_tool_of_the_callers_passes() -> None:
    assert (Call(policy()) >> create({"type": "function_call_output", "call_id": "c", "output": "1"}))[0][0] == "up"


def test_pictures_travel_in_the_event_itself() -> None:
    def picture(url: str) -> list[Any]:
        part = {"type": "input_image", "image_url": url}
        return Call(policy()) >> create({"type": "message", "role": "user", "content": [part]})

    assert picture("data:image/png;base64,AAAA")[0][0] == "up"
    assert errors(picture("http://169.254.169.254/")) == [("invalid_value", "item.content[0].image_url", "mine")]


def test_sessions_of_another_kind_are_refused() -> None:
    event = {"type": "session.update", "event_id": "mine", "session": {"type": "transcription"}}
    assert errors(Call(policy()) >> event) == [("invalid_value", "session.type", "mine")]


def test_tools_of_the_callers_stand_beside_the_secret_ones() -> None:
    call = Call(secret_policy(locked=())).opened()
    ((_, sent),) = call >> update(tools=[TOOL])
    assert [tool["name"] for tool in sent["session"]["tools"]] == ["paint", "find_order"]
    for nothing in ([], None):
        ((_, sent),) = call >> update(tools=nothing)
        assert [tool["name"] for tool in sent["session"]["tools"]] == ["find_order"]
    ((_, sent),) = call >> update(output_modalities=["text"])
    assert "tools" not in sent["session"]
    ((_, sent),) = call >> respond(tools=[])
    assert [tool["name"] for tool in sent["response"]["tools"]] == ["find_order"]


def test_the_name_of_a_secret_tool_is_taken() -> None:
    call = Call(secret_policy(locked=())).opened()
    assert errors(call >> update(tools=[TOOL, {**TOOL, "name": "find_order"}])) == [
        ("invalid_value", "session.tools[1].name", "mine")
    ]


def test_a_secret_tool_cannot_be_chosen() -> None:
    call = Call(secret_policy(locked=())).opened()
    choice = {"type": "function", "name": "find_order"}
    assert errors(call >> update(tool_choice=choice)) == [("invalid_value", "session.tool_choice", "mine")]
    assert errors(call >> respond(tool_choice=choice)) == [("invalid_value", "response.tool_choice", "mine")]
    assert (call >> update(tool_choice={"type": "function", "name": "paint"}))[0][0] == "up"


def test_mcp_servers_are_the_operators_to_choose() -> None:
    assert errors(Call(policy(locked=())) >> update(tools=[MCP])) == [
        ("invalid_value", "session.tools[0].type", "mine")
    ]
    assert (Call(policy(locked=(), caller_mcp=True)) >> update(tools=[MCP]))[0][0] == "up"
    choice = {"type": "mcp", "server_label": "wiki"}
    assert (Call(policy(locked=(), caller_mcp=True)) >> update(tool_choice=choice))[0][0] == "up"


def hiding() -> Call:
    call = Call(secret_policy(locked=())).opened()
    call << item_event("added", message("shown"))
    call << item_event("added", function_call("secret", "call_secret"), "shown")
    return call


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "conversation.item.retrieve", "item_id": "secret"}, "item_retrieve_invalid_item_id", "item_id"),
        ({"type": "conversation.item.delete", "item_id": "secret"}, "item_delete_invalid_item_id", "item_id"),
        ({"type": "conversation.item.truncate", "item_id": "secret", "content_index": 0, "audio_end_ms": 0},
         "item_truncate_invalid_item_id", "item_id"),
        (said("x", previous_item_id="secret"), "item_create_invalid_previous_item_id", "previous_item_id"),
        (create({**said("x")["item"], "id": "secret"}), "item_create_duplicate_item_id", "item.id"),
        (create({"type": "function_call_output", "call_id": "call_secret", "output": "forged"}),
         "invalid_value", "item.call_id"),
        (respond(input=[{"type": "item_reference", "id": "secret"}]), "item_create_duplicate_item_id",
         "response.input[0].id"),
    ],
)  # fmt: skip
def test_hidden_items_do_not_exist_for_the_caller(event: dict[str, Any], code: str, param: str) -> None:
    assert errors(hiding() >> {**event, "event_id": "mine"}) == [(code, param, "mine")]


@pytest.mark.parametrize("kind", ["retrieve", "delete"])
def test_visible_items_do(kind: str) -> None:
    assert (hiding() >> {"type": f"conversation.item.{kind}", "item_id": "shown"})[0][0] == "up"


def test_a_response_may_be_asked_for_with_nothing() -> None:
    assert Call(policy()) >> respond() == [("up", {"type": "response.create", "event_id": "mine"})]
    assert Call(policy()) >> {"type": "response.create", "response": None} == [
        ("up", {"type": "response.create", "response": None})
    ]
