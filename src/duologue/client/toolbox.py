"""The tools of a client: their definitions, and the running of them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from duologue.dialogue.tools import ToolArguments, arguments_for, error_text, function_tool, output_text
from duologue.errors import ConfigError
from duologue.protocol.session import FunctionTool

_log = logging.getLogger(__name__)


TIMEOUT_S = 60.0


class Tool(Struct, frozen=True, kw_only=True):
    """A definition and the function behind it. `timeout_s`: so long may a call take. `background`: the model is told at once
    that the call runs, and gets the result as news later."""

    definition: FunctionTool
    handler: Callable[..., Any]
    timeout_s: float = TIMEOUT_S
    background: bool = False


class Toolbox:
    """Tools by name."""

    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}

    def add(
        self,
        definition: FunctionTool | Mapping[str, Any] | None,
        handler: Callable[..., Any],
        *,
        timeout_s: float = TIMEOUT_S,
        background: bool = False,
    ) -> Tool:
        """Add a tool; without a definition it comes from the function. Raises ConfigError."""
        if not callable(handler):
            raise ConfigError("a tool needs a function to call: add_tool(definition, handler)")
        if definition is None:
            definition = function_tool(handler)
        elif not isinstance(definition, FunctionTool):
            try:
                definition = msgspec.convert({**definition, "type": "function"}, FunctionTool)
            except msgspec.ValidationError as problem:
                raise ConfigError(f"the definition of a tool does not fit: {problem}") from None
        if definition.name in self._tools:
            raise ConfigError(
                f"there is a tool named {definition.name!r} already: remove_tool({definition.name!r}) first"
            )
        tool = Tool(definition=definition, handler=handler, timeout_s=timeout_s, background=background)
        self._tools[definition.name] = tool
        return tool

    def remove(self, name: str) -> None:
        """Forget a tool. Raises ConfigError where there is none of that name."""
        if self._tools.pop(name, None) is None:
            raise ConfigError(f"there is no tool named {name!r}")

    def clear(self) -> None:
        self._tools.clear()

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    def in_background(self, name: str) -> bool:
        """Whether nobody waits for the tool."""
        tool = self._tools.get(name)
        return tool is not None and tool.background

    def definitions(self) -> list[dict[str, Any]]:
        """All definitions as they go over the wire."""
        return [msgspec.to_builtins(tool.definition) for tool in self._tools.values()]

    async def run(self, name: str, arguments: str) -> str:
        """The tool's output; a failure of any kind is an output that says so, also that it took longer than `timeout_s`.
        Plain functions run in a thread.

        Cancelling it cancels an asynchronous tool; a thread runs to its end, unheard.
        """
        tool = self._tools.get(name)
        if tool is None:
            return error_text(f"there is no tool named {name!r}")
        try:
            ready = arguments_for(tool.handler, tool.definition, arguments)
            async with asyncio.timeout(tool.timeout_s) as deadline:
                if inspect.iscoroutinefunction(tool.handler):
                    result = await tool.handler(**ready)
                else:
                    result = await asyncio.to_thread(tool.handler, **ready)
                    if inspect.isawaitable(result):
                        result = await result
            return output_text(result)
        except TimeoutError as problem:
            if deadline.expired():
                _log.warning("tool %r was given up after %g s", name, tool.timeout_s)
                return error_text(f"the tool took longer than {tool.timeout_s:g} seconds and was given up")
            return self._failed(name, problem)
        except ToolArguments as problem:
            return error_text(str(problem))
        except Exception as problem:
            return self._failed(name, problem)

    @staticmethod
    def _failed(name: str, problem: Exception) -> str:
        _log.warning("tool %r failed", name, exc_info=problem)
        return error_text(f"{type(problem).__name__}: {problem}")
