"""Remote MCP servers in the session machine, told as traces: listing, calls, approval, in the order of the wire."""

from __future__ import annotations

from typing import Any

import pytest
from script import Script

from duologue.protocol.items import FunctionCall, FunctionCallOutput, McpError, McpTool
from duologue.server import inputs
from duologue.server.commands import CallRemote, StopRemote
from duologue.server.rules import Rules

DOCS = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example/mcp", "require_approval": "never"}
FIND, DROP, READ = (McpTool(name=name, input_schema={"type": "object"}) for name in ("find", "drop", "read"))
LISTING = ["conversation.item.added", "mcp_list_tools.in_progress", "<ListRemote>"]


def session(**fields: Any) -> Script:
    """A session whose server has listed its tools, and a user who wants something."""
    s = Script(rules=Rules(remote_tools=True), output_modalities=["text"], tools=[{**DOCS, **fields}])
    s.give(inputs.RemoteListed(item_id="item_1", tools=(FIND, DROP, READ)))
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "find it"}]}
    s.client("conversation.item.create", item=item)
    s.client("response.create")
    return s


def call(s: Script, name: str = "find", arguments: str = '{"q":1}', index: int = 0) -> list[str]:
    return s.give(inputs.ModelToolCall(response_id="resp_1", index=index, name=name, arguments=arguments))


def done(s: Script, reason: str = "stop") -> list[str]:
    return s.give(inputs.ModelDone(response_id="resp_1", reason=reason))


def last(s: Script, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = [event for event in s.events() if event["type"] == kind][-1]
    return found


# --- listing ---------------------------------------------------------------------------------------------------------


def test_listing_has_the_order_of_the_wire() -> None:
    s = Script(rules=Rules(remote_tools=True))
    update = {"type": "realtime", "tools": [{**DOCS, "allowed_tools": ["find"]}]}
    assert s.client("session.update", session=update) == ["session.updated", *LISTING]
    assert last(s, "conversation.item.added")["item"] == {
        "type": "mcp_list_tools", "id": "item_1", "server_label": "docs", "tools": []
    }  # fmt: skip
    listed = inputs.RemoteListed(item_id="item_1", tools=(FIND, DROP))
    assert s.give(listed) == ["mcp_list_tools.completed", "conversation.item.done"]
    assert [tool["name"] for tool in last(s, "conversation.item.done")["item"]["tools"]] == ["find"]
    assert s.give(listed) == []


def test_a_listing_that_fails_is_told_and_tried_again_with_the_next_update() -> None:
    s = Script(rules=Rules(remote_tools=True), tools=[DOCS])
    assert s.give(inputs.RemoteListed(item_id="item_1", tools=None)) == [
        "mcp_list_tools.failed",
        "conversation.item.done",
    ]
    assert s.client("session.update", session={"type": "realtime", "instructions": "x"}) == ["session.updated"]
    assert s.client("session.update", session={"type": "realtime", "tools": [DOCS]}) == ["session.updated", *LISTING]


def test_a_known_server_is_not_listed_again() -> None:
    s = session()
    other_rule = {**DOCS, "require_approval": "always"}
    assert s.client("session.update", session={"type": "realtime", "tools": [other_rule]}) == ["session.updated"]
    assert s.client("response.cancel")[-1] == "rate_limits.updated"
    s.client("response.create")
    s.give(inputs.ModelToolCall(response_id="resp_2", index=0, name="find", arguments="{}"))
    assert "mcp_approval_request" in str(s.give(inputs.ModelDone(response_id="resp_2", reason="stop")) and s.events())


def test_a_response_waits_for_the_listing_and_offers_its_tools() -> None:
    s = Script(rules=Rules(remote_tools=True), output_modalities=["text"], tools=[DOCS])
    assert s.client("response.create") == ["response.created"]
    assert s.give(inputs.RemoteListed(item_id="item_1", tools=(FIND,)))[-1] == "<StartModel>"
    assert [tool.name for tool in s.requests()[0].request.tools] == ["find"]


def test_a_response_may_bring_a_server_of_its_own() -> None:
    s = Script(rules=Rules(remote_tools=True), output_modalities=["text"])
    asked = {"conversation": "none", "input": [], "tools": [DOCS]}
    assert s.client("response.create", response=asked) == ["response.created", *LISTING]
    assert s.give(inputs.RemoteListed(item_id="item_1", tools=None))[-1] == "<StartModel>"
    assert s.requests()[0].request.tools == ()


# --- calls -----------------------------------------------------------------------------------------------------------


def test_a_call_has_the_order_of_the_wire_and_the_response_ends_after_it() -> None:
    s = session()
    assert call(s) == [
        "response.output_item.added",
        "conversation.item.added",
        "response.mcp_call_arguments.delta",
    ]
    assert last(s, "response.output_item.added")["item"]["output"] is None
    assert last(s, "response.mcp_call_arguments.delta")["obfuscation"] == ""
    assert done(s) == ["response.mcp_call_arguments.done", "response.mcp_call.in_progress", "<CallRemote>"]
    asked = s.commands[-1]
    assert isinstance(asked, CallRemote)
    assert (asked.name, asked.arguments) == ("find", {"q": 1})
    assert s.give(inputs.RemoteAnswered(item_id=asked.item_id, result="found")) == [
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    [item] = last(s, "response.done")["response"]["output"]
    assert (item["output"], item["error"], item["arguments"]) == ("found", None, '{"q":1}')
    s.client("response.create")
    assert [type(item) for item in s.requests()[-1].request.items[-2:]] == [FunctionCall, FunctionCallOutput]


def test_two_calls_run_beside_each_other_and_end_in_any_order() -> None:
    s = session()
    call(s)
    assert call(s, "read", "{}", index=1)[:3] == [
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.output_item.added",
    ]
    done(s)
    first, second = (c for c in s.commands if isinstance(c, CallRemote))
    assert s.give(inputs.RemoteAnswered(item_id=second.item_id, result="2"))[-1] == "response.output_item.done"
    assert s.give(inputs.RemoteAnswered(item_id=first.item_id, result="1"))[-2] == "response.done"
    assert [item["output"] for item in last(s, "response.done")["response"]["output"]] == ["1", "2"]


def test_a_call_may_fail() -> None:
    s = session()
    call(s)
    done(s)
    error = McpError(type="http_error", code=502, message="Bad gateway")
    asked = s.commands[-1]
    assert isinstance(asked, CallRemote)
    assert s.give(inputs.RemoteAnswered(item_id=asked.item_id, result=error))[0] == "response.mcp_call.failed"
    assert last(s, "conversation.item.done")["item"]["error"] == {
        "type": "http_error", "code": 502, "message": "Bad gateway"
    }  # fmt: skip
    assert last(s, "response.done")["response"]["status"] == "completed"


def test_arguments_that_are_no_object_fail_without_a_call() -> None:
    s = session()
    call(s, arguments="[1")
    assert done(s)[:2] == ["response.mcp_call_arguments.done", "response.mcp_call.failed"]
    assert not [c for c in s.commands if isinstance(c, CallRemote)]


@pytest.mark.parametrize("answered", [False, True])
def test_a_cancelled_response_lets_go_of_its_calls(answered: bool) -> None:
    s = session()
    call(s)
    if answered:
        done(s)
    out = s.client("response.cancel")
    assert ("<StopRemote>" in out) == answered
    assert [line for line in out if line.startswith("response.")][-5:] == [
        *([] if answered else ["response.mcp_call_arguments.done"]),
        "response.mcp_call.failed",
        "response.output_item.done",
        "response.done",
    ]
    if answered:
        stopped = next(c for c in s.commands if isinstance(c, StopRemote))
        assert s.give(inputs.RemoteAnswered(item_id=stopped.item_id, result="late")) == []


def test_a_deleted_call_still_ends_in_its_response() -> None:
    s = session()
    call(s)
    done(s)
    asked = s.commands[-1]
    assert isinstance(asked, CallRemote)
    s.client("conversation.item.delete", item_id=asked.item_id)
    assert s.give(inputs.RemoteAnswered(item_id=asked.item_id, result="x")) == [
        "response.mcp_call.completed",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]


# --- approval --------------------------------------------------------------------------------------------------------


def asking() -> tuple[Script, str]:
    s = session(require_approval={"always": {"tool_names": ["drop"]}})
    assert call(s, "drop") == []
    assert done(s) == [
        "response.output_item.added",
        "conversation.item.added",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    item = last(s, "conversation.item.done")["item"]
    assert item == {
        "type": "mcp_approval_request", "id": item["id"], "server_label": "docs", "name": "drop",
        "arguments": '{"q":1}',
    }  # fmt: skip
    return s, item["id"]


def decide(s: Script, request_id: str, **answer: Any) -> list[str]:
    item = {"type": "mcp_approval_response", "approval_request_id": request_id, **answer}
    return s.client("conversation.item.create", item=item)


def test_an_approved_call_runs_outside_of_any_response() -> None:
    s, request_id = asking()
    assert decide(s, request_id, approve=True) == [
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.added",
        "response.mcp_call.in_progress",
        "<CallRemote>",
    ]
    assert last(s, "conversation.item.added")["item"]["approval_request_id"] == request_id
    asked = s.commands[-1]
    assert isinstance(asked, CallRemote)
    assert s.give(inputs.RemoteAnswered(item_id=asked.item_id, result="gone")) == [
        "response.mcp_call.completed",
        "conversation.item.done",
    ]


def test_a_rejected_call_fails_with_the_reason() -> None:
    s, request_id = asking()
    assert decide(s, request_id, approve=False, reason="too dangerous")[-2:] == [
        "response.mcp_call.failed",
        "conversation.item.done",
    ]
    assert "too dangerous" in last(s, "conversation.item.done")["item"]["error"]["message"]
    s.client("response.create")
    told = s.requests()[-1].request.items[-1]
    assert isinstance(told, FunctionCallOutput)
    assert "too dangerous" in told.output


def test_a_request_is_answered_once() -> None:
    s, request_id = asking()
    decide(s, request_id, approve=False)
    assert decide(s, request_id, approve=True) == ["error"]
    assert decide(s, "nobody", approve=True) == ["error"]
    assert last(s, "error")["error"]["param"] == "item.approval_request_id"
