"""Tools of an MCP server that this side is connected to: any object with `list_tools()` and `call_tool(name, arguments)`,
such as the `mcp` package's ClientSession."""

from __future__ import annotations

from typing import Any

from duologue.agents.tools import AgentTool
from duologue.dialogue.tools import error_text, output_text
from duologue.protocol.session import FunctionTool


async def tools_of(server: Any) -> list[AgentTool]:
    """What the server offers now."""
    listed = await server.list_tools()
    return [_tool(server, each) for each in getattr(listed, "tools", listed)]


def _tool(server: Any, listed: Any) -> AgentTool:
    name = str(_field(listed, "name"))
    definition = FunctionTool(
        name=name,
        description=_field(listed, "description") or "",
        parameters=_field(listed, "inputSchema") or {"type": "object", "properties": {}},
    )

    async def call(**arguments: Any) -> str:
        return _text(await server.call_tool(name, arguments))

    return AgentTool(definition=definition, function=call)


def _text(result: Any) -> str:
    """What the model reads of an answer: its texts, or its structured content where it has none."""
    content = _field(result, "content")
    texts = [text for part in content or () if isinstance(text := _field(part, "text"), str)]
    words = "\n".join(texts)
    if not words:
        structured = _field(result, "structuredContent")
        words = output_text(structured if structured is not None else result if content is None else "")
    return error_text(words) if _field(result, "isError") is True else words


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)
