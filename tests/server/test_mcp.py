"""What a session makes of remote MCP servers: settings that are refused, filters, names, and what models read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from script import Script

from duologue.errors import ProtocolError
from duologue.protocol.items import FunctionCall, FunctionCallOutput, McpCall, McpError, McpListTools, McpTool
from duologue.protocol.session import ChooseFunction, ChooseMcp, FunctionTool, McpServerTool
from duologue.server import mcp
from duologue.server.commands import ListRemote
from duologue.server.rules import Rules

DOCS = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example/mcp", "require_approval": "never"}
FIND = McpTool(name="find", input_schema={"type": "object"}, description="Find a page")
DROP = McpTool(name="drop", input_schema={"type": "object"}, description="", annotations={"readOnlyHint": False})
READ = McpTool(name="read", input_schema={"type": "object"}, annotations={"readOnlyHint": True})


def server(**fields: Any) -> McpServerTool:
    return msgspec.convert({**DOCS, **fields}, McpServerTool)


def last(s: Script, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = [event for event in s.events() if event["type"] == kind][-1]
    return found


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"connector_id": "connector_gmail"}, "connector_id"),
        ({"tunnel_id": "t"}, "tunnel_id"),
        ({"server_label": ""}, "server_label"),
        ({"server_url": "file:///etc/passwd"}, "server_url"),
        ({"server_url": "http://"}, "server_url"),
        ({"server_url": "http://[::1"}, "server_url"),
        ({"headers": {"X-A": "a\r\nb: c"}}, "headers"),
        ({"authorization": "a\nb"}, "authorization"),
        ({"allowed_tools": "find"}, "allowed_tools"),
        ({"allowed_tools": {"names": []}}, "allowed_tools"),
        ({"require_approval": "sometimes"}, "require_approval"),
        ({"require_approval": {"never": ["find"]}}, "require_approval"),
    ],
)
def test_what_cannot_be_connected_is_refused_where_it_is_wrong(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        mcp.check_server(server(**fields), "session.tools[0]")
    assert refused.value.param == f"session.tools[0].{param}"


def test_two_servers_need_two_labels() -> None:
    s = Script(rules=Rules(remote_tools=True))
    assert s.client("session.update", session={"type": "realtime", "tools": [DOCS, DOCS]}) == ["error"]
    assert last(s, "error")["error"]["param"] == "session.tools[1].server_label"


def test_without_the_package_the_error_names_what_to_install() -> None:
    s = Script()
    assert s.client("session.update", session={"type": "realtime", "tools": [DOCS]}) == ["error"]
    assert "pip install 'duologue[mcp]'" in last(s, "error")["error"]["message"]
    assert s.client("response.create", response={"tools": [DOCS]}) == ["error"]
    assert last(s, "error")["error"]["param"] == "response.tools"


def test_keys_are_not_echoed_and_the_approval_in_force_is() -> None:
    secret = {**DOCS, "authorization": "hush", "headers": {"X-Key": "hush"}, "require_approval": None}
    s = Script(rules=Rules(remote_tools=True), tools=[secret])
    shown = last(s, "session.updated")["session"]["tools"][0]
    assert shown == {**DOCS, "require_approval": "always"}
    assert "hush" not in msgspec.json.encode(s.events()).decode()
    listing = next(command for command in s.commands if isinstance(command, ListRemote))
    assert listing.server.authorization == "hush"


# --- filters and names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        (None, ["find", "drop", "read"]),
        (["drop"], ["drop"]),
        ([], []),
        ({"tool_names": ["find", "read"]}, ["find", "read"]),
        ({"read_only": True}, ["read"]),
        ({"read_only": False, "tool_names": ["find", "read"]}, ["find"]),
    ],
)
def test_allowed_tools(wish: Any, names: list[str]) -> None:
    allowed = mcp.allowed_tools(server(allowed_tools=wish), (FIND, DROP, READ))
    assert [tool.name for tool in allowed] == names


@pytest.mark.parametrize(
    ("wish", "asked"),
    [
        (None, ["find", "drop", "read"]),
        ("always", ["find", "drop", "read"]),
        ("never", []),
        ({"never": {"tool_names": ["find"]}}, ["drop", "read"]),
        ({"never": {"read_only": True}}, ["find", "drop"]),
        ({"always": {"tool_names": ["drop"]}, "never": {}}, ["drop"]),
    ],
)
def test_require_approval(wish: Any, asked: list[str]) -> None:
    assert [t.name for t in (FIND, DROP, READ) if mcp.asks_first(server(require_approval=wish), t)] == asked


def test_names_are_functions_names_and_nobody_elses() -> None:
    odd = McpTool(name="päge/find", input_schema=None)
    listed = [(server(), (FIND, odd)), (server(server_label="more docs"), (FIND, FIND))]
    offer = mcp.make_offer(listed, ["find"], may_ask=True)
    names = [tool.name for tool in offer.tools]
    assert names == ["docs__find", "p_ge_find", "more_docs__find", "more_docs__find_2"]
    assert offer.remote["p_ge_find"].name == "päge/find"


def test_who_cannot_be_asked_is_not_offered_what_needs_asking() -> None:
    rule = {"never": {"tool_names": ["find"]}}
    offer = mcp.make_offer([(server(require_approval=rule), (FIND, DROP))], (), may_ask=False)
    assert [tool.name for tool in offer.tools] == ["find"]


def test_a_choice_of_a_server_is_a_choice_of_its_functions() -> None:
    own = (FunctionTool(name="look"),)
    offer = mcp.make_offer([(server(), (FIND, DROP))], ["look"], may_ask=True)
    assert mcp.choose("auto", own, offer) == ("auto", own + offer.tools)
    assert mcp.choose(ChooseMcp(server_label="docs"), own, offer) == ("required", offer.tools)
    named, _ = mcp.choose(ChooseMcp(server_label="docs", name="drop"), own, offer)
    assert named == ChooseFunction(name="drop")
    assert mcp.choose(ChooseMcp(server_label="other"), own, offer)[0] == "auto"


def test_models_read_calls_as_functions_and_nothing_of_the_rest() -> None:
    worked = McpCall(id="i1", server_label="docs", name="find", arguments="{}", output="found")
    failed = McpCall(id="i2", server_label="docs", name="find", error=McpError(type="http_error", message="gone"))
    running = McpCall(id="i3", server_label="docs", name="find", output=None)
    read = mcp.as_functions([McpListTools(id="i0", server_label="docs"), worked, failed, running])
    assert [type(item) for item in read] == [FunctionCall, FunctionCallOutput] * 2
    assert [item.output for item in read if isinstance(item, FunctionCallOutput)] == ["found", "Error: gone"]


@pytest.mark.parametrize(("text", "value"), [("", {}), ('{"a":1}', {"a": 1}), ("[1]", None), ("{", None)])
def test_arguments_are_an_object(text: str, value: Any) -> None:
    assert mcp.arguments_of(text) == value
