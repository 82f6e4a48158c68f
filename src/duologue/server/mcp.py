"""Remote MCP servers as a session knows them: which tools are offered to the model, and which need a yes first.

Pure: the network is in `mcp_calls`. What is said about servers on the wire never holds `authorization` or `headers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from duologue.errors import MissingExtra, ProtocolError
from duologue.protocol.items import FunctionCall, FunctionCallOutput, Item, McpCall, McpError, McpTool
from duologue.protocol.session import (
    AnySession,
    ChooseFunction,
    ChooseMcp,
    FunctionTool,
    McpServerTool,
    RealtimeSession,
    Tool,
    ToolChoice,
)
from duologue.server.reach import Reach

MOST_SERVERS = 16
LONGEST_NAME = 64
"""Characters: what chat models take as the name of a function."""

T = TypeVar("T")
Failure = Literal["protocol_error", "tool_execution_error", "http_error"]


class RemoteTool(Struct, frozen=True, kw_only=True):
    """One tool of a remote server; `asks_first` where the client must approve each call."""

    server: McpServerTool
    name: str
    asks_first: bool


class Offer(Struct, frozen=True, kw_only=True):
    """What the model is offered: remote tools as functions, and what each function's name stands for."""

    tools: tuple[FunctionTool, ...] = ()
    remote: Mapping[str, RemoteTool] = {}


class _Filter(Struct, frozen=True, forbid_unknown_fields=True):
    """Tools by name, by what they say of themselves, or both."""

    tool_names: list[str] | None = None
    read_only: bool | None = None

    def takes(self, tool: McpTool) -> bool:
        """Whether the tool meets every condition."""
        notes = tool.annotations if isinstance(tool.annotations, dict) else {}
        named = self.tool_names is None or tool.name in self.tool_names
        return named and (self.read_only is None or (notes.get("readOnlyHint") is True) == self.read_only)


class _Approval(Struct, frozen=True, forbid_unknown_fields=True):
    always: _Filter | None = None
    never: _Filter | None = None


# --- settings --------------------------------------------------------------------------------------------------------


def server_tools(tools: Iterable[Tool] | None | UnsetType) -> tuple[McpServerTool, ...]:
    """The remote servers among the tools."""
    return tuple(tool for tool in (tools or ()) if isinstance(tool, McpServerTool))


def refuse_servers(installed: bool, reach: Reach, tools: Iterable[Tool] | None | UnsetType, param: str) -> None:
    """Refuse servers out of reach, and all where the package that speaks to them is missing. Raises ProtocolError."""
    if not installed and server_tools(tools):
        raise ProtocolError(
            f"This server cannot connect remote MCP tools: {MissingExtra('mcp', 'mcp')}",
            code="invalid_value",
            param=param,
        )
    reach.check(tools, param)


def tools_in(session: AnySession) -> tuple[Tool, ...]:
    """All tools that the session names."""
    return session.tools or () if isinstance(session, RealtimeSession) else ()


def servers_of(session: AnySession) -> tuple[McpServerTool, ...]:
    """The session's remote servers."""
    return server_tools(session.tools) if isinstance(session, RealtimeSession) else ()


def check_server(tool: McpServerTool, param: str) -> None:
    """Refuse what cannot be connected or read. Raises ProtocolError."""
    for name in ("connector_id", "tunnel_id"):
        if getattr(tool, name) not in (UNSET, None):
            raise ProtocolError(
                f"This server has no connectors and no tunnels: give a 'server_url' instead of '{name}'.",
                code="invalid_value",
                param=f"{param}.{name}",
            )
    if not tool.server_label:
        raise ProtocolError("A server needs a label.", code="invalid_value", param=f"{param}.server_label")
    if not _is_web_address(tool.server_url):
        raise ProtocolError(
            f"Invalid '{param}.server_url': expected an address that begins with http:// or https://.",
            code="invalid_value",
            param=f"{param}.server_url",
        )
    if any(not _fits_a_header(text) for pair in (tool.headers or {}).items() for text in pair):
        raise ProtocolError(
            "A header may hold no line breaks and only Latin-1.", code="invalid_value", param=f"{param}.headers"
        )
    if not _fits_a_header(tool.authorization or ""):
        raise ProtocolError(
            "A token may hold no line breaks and only Latin-1.", code="invalid_value", param=f"{param}.authorization"
        )
    _allowed(tool, f"{param}.allowed_tools")
    _approval(tool, f"{param}.require_approval")


def _is_web_address(url: str | UnsetType) -> bool:
    try:
        parts = urlsplit(url or "")
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _fits_a_header(text: str) -> bool:
    return text.isprintable() and all(ord(character) < 256 for character in text)


def _allowed(tool: McpServerTool, param: str = "allowed_tools") -> _Filter:
    wish = tool.allowed_tools
    if wish is UNSET or wish is None:
        return _Filter()
    return _read(wish if isinstance(wish, dict) else {"tool_names": wish}, _Filter, param)


def _approval(tool: McpServerTool, param: str = "require_approval") -> _Approval:
    """Silence means always, as upstream."""
    wish = tool.require_approval
    if wish is UNSET or wish is None or wish == "always":
        return _Approval()
    if wish == "never":
        return _Approval(never=_Filter())
    return _read(wish, _Approval, param)


def _read(wish: Any, kind: type[T], param: str) -> T:
    try:
        return msgspec.convert(wish, kind)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"Invalid '{param}': {error}.", code="invalid_type", param=param) from None


def shown(session: AnySession) -> AnySession:
    """The session as its client may see it: no keys to other servers, and the approval that is in force."""
    if not isinstance(session, RealtimeSession) or not server_tools(session.tools):
        return session
    return replace(session, tools=tuple(_shown(tool) for tool in session.tools or ()))


def _shown(tool: Tool) -> Tool:
    if not isinstance(tool, McpServerTool):
        return tool
    approval = "always" if tool.require_approval in (UNSET, None) else tool.require_approval
    return replace(tool, authorization=UNSET, headers=UNSET, require_approval=approval)


def identity(server: McpServerTool) -> bytes:
    """Equal for entries that mean the same tools of the same server, reached in the same way."""
    return msgspec.json.encode(
        replace(server, require_approval=UNSET, server_description=UNSET, allowed_callers=UNSET, defer_loading=UNSET)
    )


# --- tools -----------------------------------------------------------------------------------------------------------


def allowed_tools(server: McpServerTool, tools: Iterable[McpTool]) -> tuple[McpTool, ...]:
    """Those of the server's tools that the client wants."""
    wanted = _allowed(server)
    return tuple(tool for tool in tools if wanted.takes(tool))


def asks_first(server: McpServerTool, tool: McpTool) -> bool:
    """Whether each call of the tool needs the client's approval; `always` outweighs `never`."""
    rule = _approval(server)
    if rule.always is not None and rule.always.takes(tool):
        return True
    return not (rule.never is not None and rule.never.takes(tool))


def make_offer(
    listed: Iterable[tuple[McpServerTool, Iterable[McpTool]]], taken: Iterable[str], *, may_ask: bool
) -> Offer:
    """Remote tools as functions, beside those whose names are `taken`.

    Where nobody can be asked for approval (`may_ask`), tools that need it are left out.
    """
    names, functions, remote = set(taken), [], {}
    for server, tools in listed:
        for tool in tools:
            asks = asks_first(server, tool)
            if asks and not may_ask:
                continue
            name = _function_name(server.server_label, tool.name, names)
            names.add(name)
            words = " ".join(text for text in (tool.description, server.server_description) if text)
            schema = tool.input_schema if isinstance(tool.input_schema, dict) else None
            functions.append(FunctionTool(name=name, description=words, parameters=schema))
            remote[name] = RemoteTool(server=server, name=tool.name, asks_first=asks)
    return Offer(tools=tuple(functions), remote=remote)


def _function_name(label: str, tool: str, taken: set[str]) -> str:
    """The tool's own name; where that is taken or no function's name, one made of the label and the name."""
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", tool)[:LONGEST_NAME] or "tool"
    if plain not in taken:
        return plain
    long = re.sub(r"[^a-zA-Z0-9_-]", "_", f"{label}__{tool}")[:LONGEST_NAME]
    number = 2
    name = long
    while name in taken:
        name = f"{long[: LONGEST_NAME - 6]}_{number}"
        number += 1
    return name


def choose(
    choice: ToolChoice, functions: tuple[FunctionTool, ...], offer: Offer
) -> tuple[ToolChoice, tuple[FunctionTool, ...]]:
    """Choice and tools as engines take them: a remote tool by its function's name, a remote server as its tools alone.

    A choice that nothing on offer fits is `auto`.
    """
    tools = functions + offer.tools
    if not isinstance(choice, ChooseMcp):
        return choice, tools
    wanted = {
        name
        for name, tool in offer.remote.items()
        if tool.server.server_label == choice.server_label and choice.name in (None, UNSET, tool.name)
    }
    if not wanted:
        return "auto", tools
    if len(wanted) == 1:
        return ChooseFunction(name=wanted.pop()), tools
    return "required", tuple(tool for tool in offer.tools if tool.name in wanted)


# --- calls -----------------------------------------------------------------------------------------------------------


def new_call(item_id: str, tool: RemoteTool, arguments: str = "", request_id: str | None = None) -> McpCall:
    """A call that is not over. Clients want `output` to be there, be it null."""
    return McpCall(
        id=item_id,
        server_label=tool.server.server_label,
        name=tool.name,
        arguments=arguments,
        output=None,
        error=None,
        approval_request_id=request_id,
    )


def failure(kind: Failure, message: str, code: int | UnsetType = UNSET) -> McpError:
    """Why a call failed. A tool's own failure has no code, the other two always have one."""
    return McpError(type=kind, message=message, code=code)


def ended(call: McpCall, result: str | McpError) -> McpCall:
    """The call with what came of it."""
    return replace(call, error=result) if isinstance(result, McpError) else replace(call, output=result)


def arguments_of(text: str) -> dict[str, Any] | None:
    """The arguments that the model wrote; None where they are no JSON object."""
    try:
        value = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def as_functions(items: Iterable[Item]) -> tuple[Item, ...]:
    """The context as models read it: a remote call that is over is a function call with its output.

    Both keep the item's id. Listings, approvals and calls still under way are nothing to read.
    """
    read: list[Item] = []
    for item in items:
        if isinstance(item, McpCall):
            result = f"Error: {item.error.message}" if isinstance(item.error, McpError) else item.output
            if isinstance(result, str):
                call_id = str(item.id)
                read.append(FunctionCall(id=item.id, call_id=call_id, name=item.name, arguments=item.arguments))
                read.append(FunctionCallOutput(id=item.id, call_id=call_id, output=result))
        elif not type(item).__name__.startswith("Mcp"):
            read.append(item)
    return tuple(read)
