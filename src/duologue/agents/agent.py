"""An agent: who speaks, by which instructions, with which tools, and whom it may hand over to. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from duologue.agents.guardrails import InputGuardrail, OutputGuardrail
from duologue.agents.tools import AgentTool, Condition, RunContext, function_tool
from duologue.dialogue import tools as schemas
from duologue.errors import ConfigError
from duologue.protocol.session import FunctionTool, McpServerTool

Instructions = str | Callable[..., str | Awaitable[str]]
NO_ARGUMENTS = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


@dataclass(kw_only=True)
class AgentHooks:
    """What an application may follow on one agent: plain functions or coroutine functions, given by name or written as
    methods of a subclass.

    `on_start(context, agent)`, `on_end(context, agent, text)`, `on_handoff(context, agent, source)`,
    `on_tool_start(context, agent, tool)`, `on_tool_end(context, agent, tool, output)`.
    """

    on_start: Callable[..., Any] | None = None
    on_end: Callable[..., Any] | None = None
    on_handoff: Callable[..., Any] | None = None
    on_tool_start: Callable[..., Any] | None = None
    on_tool_end: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        # What was not given must not hide a subclass's method of that name.
        for each in dataclasses.fields(self):
            if self.__dict__.get(each.name) is None:
                self.__dict__.pop(each.name, None)


@dataclass(eq=False)
class RealtimeAgent:
    """One agent.

    `instructions` and `prompt` (a stored one: `id`, `version`, `variables`) may be functions of (context, agent). `tools`:
    functions, `@function_tool`s and remote MCP servers (McpServerTool). `mcp_servers`: objects with `list_tools()` and
    `call_tool(name, arguments)`, like the `mcp` package's ClientSession. `handoffs` may be appended to later, so that agents
    can name each other. `voice` holds until something was said: a session cannot change it after. `greeting` is said when
    the agent takes over.
    """

    name: str
    instructions: Instructions = ""
    _: dataclasses.KW_ONLY
    tools: list[AgentTool | McpServerTool | Callable[..., Any]] = field(default_factory=list)
    handoffs: list[RealtimeAgent | Handoff] = field(default_factory=list)
    voice: str | None = None
    prompt: Mapping[str, Any] | Callable[..., Any] | None = None
    mcp_servers: list[Any] = field(default_factory=list)
    output_guardrails: list[OutputGuardrail] = field(default_factory=list)
    input_guardrails: list[InputGuardrail] = field(default_factory=list)
    hooks: AgentHooks | None = None
    handoff_description: str = ""
    greeting: str = ""

    def clone(self, **changes: Any) -> RealtimeAgent:
        """A copy with changes; lists are copied too."""
        lists = {
            each.name: list(getattr(self, each.name))
            for each in dataclasses.fields(self)
            if isinstance(getattr(self, each.name), list)
        }
        return dataclasses.replace(self, **(lists | changes))

    def function_tools(self) -> list[AgentTool]:
        """The functions among the tools, each as a tool. Raises ConfigError for two of one name."""
        found: dict[str, AgentTool] = {}
        for each in self.tools:
            if isinstance(each, McpServerTool):
                continue
            tool = each if isinstance(each, AgentTool) else function_tool(each)
            if tool.name in found:
                raise ConfigError(f"agent {self.name!r} has two tools named {tool.name!r}")
            found[tool.name] = tool
        return list(found.values())

    def remote_tools(self) -> list[McpServerTool]:
        """The MCP servers that the Realtime server itself is to connect."""
        return [each for each in self.tools if isinstance(each, McpServerTool)]

    def ways_out(self) -> list[Handoff]:
        """The handoffs, each as one. Raises ConfigError for two of one name, or one named like a tool."""
        names = {tool.name for tool in self.function_tools()}
        ways = []
        for each in self.handoffs:
            way = each if isinstance(each, Handoff) else realtime_handoff(each)
            if way.name in names:
                raise ConfigError(
                    f"agent {self.name!r} has two tools named {way.name!r}: name one with tool_name_override"
                )
            names.add(way.name)
            ways.append(way)
        return ways

    def __repr__(self) -> str:
        return f"<RealtimeAgent {self.name!r}>"


@dataclass(frozen=True, kw_only=True)
class Handoff:
    """A tool that makes another agent speak. `on_handoff` is called with the context, and with the model's arguments where
    the handoff has an `input_type`."""

    agent: RealtimeAgent
    definition: FunctionTool
    on_handoff: Callable[..., Any] | None = None
    takes_input: bool = False
    read: Callable[[str], Any] | None = None
    is_enabled: Condition = True

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.definition.name

    def arguments(self, context: RunContext[Any], text: str) -> list[Any]:
        """What `on_handoff` is called with. Raises ToolArguments."""
        if self.read is not None:
            return [context, self.read(text)]
        if not self.takes_input:
            return [context]
        assert self.on_handoff is not None
        given = schemas.arguments_for(self.on_handoff, self.definition, text, skip=1)
        return [context, *given.values()]


def realtime_handoff(
    agent: RealtimeAgent,
    *,
    tool_name_override: str | None = None,
    tool_description_override: str | None = None,
    on_handoff: Callable[..., Any] | None = None,
    input_type: Any = None,
    is_enabled: Condition = True,
) -> Handoff:
    """A handoff to `agent`. What `on_handoff(context, …)` takes after the context is what the model has to give; with an
    `input_type` (a dataclass, struct, TypedDict or pydantic model) it takes one of that. Raises ConfigError."""
    name = tool_name_override or f"transfer_to_{_identifier(agent.name)}"
    described = (
        tool_description_override or f"Hand the conversation over to {agent.name}. {agent.handoff_description}".strip()
    )
    parameters: Any = NO_ARGUMENTS
    takes_input, read = False, None
    if input_type is not None:
        if on_handoff is None:
            raise ConfigError("input_type is what on_handoff gets: give both")
        parameters, read = schemas.reader_of(input_type)
    elif on_handoff is not None:
        parameters = schemas.function_tool(on_handoff, name=name, skip=1).parameters
        takes_input = bool(parameters and parameters["properties"])
    return Handoff(
        agent=agent,
        definition=FunctionTool(name=name, description=described, parameters=parameters),
        on_handoff=on_handoff,
        takes_input=takes_input,
        read=read,
        is_enabled=is_enabled,
    )


def _identifier(name: str) -> str:
    """A name as a tool's may be: letters, digits, `_` and `-`."""
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", name.strip()).lower() or "agent"
