"""Runs a function that the model called and the caller knows nothing of."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping
from concurrent.futures import Executor

from duologue.access.redaction import redacted
from duologue.dialogue.tools import arguments_for, error_text, output_text
from duologue.relay.setup import ServerTool

_log = logging.getLogger(__name__)


async def run_tool(tool: ServerTool, arguments: str, threads: Executor) -> str:
    """The tool's answer, or what went wrong in words for the model. Functions that do not await run in a thread."""
    function = tool.function
    try:
        given: Mapping[str, object] = arguments_for(function, tool.definition, arguments)
        if inspect.iscoroutinefunction(function):
            async with asyncio.timeout(tool.timeout_s):
                result = await function(**given)
        else:
            running = asyncio.get_running_loop().run_in_executor(threads, lambda: function(**given))
            async with asyncio.timeout(tool.timeout_s):
                result = await running
        return output_text(result)
    except TimeoutError:
        return error_text(f"the tool took longer than {tool.timeout_s:g} s")
    except Exception as problem:
        _log.warning("tool %s failed: %s", tool.definition.name, redacted(repr(problem)))
        return error_text(f"the tool failed: {problem}")
