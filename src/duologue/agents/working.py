"""What the application's own functions do for a session: instructions, conditions, tools and guardrails, plain or
asynchronous. Plain ones run in threads, so that nobody waits for them who need not."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from duologue.agents.agent import RealtimeAgent
from duologue.agents.calls import Decision, Outcome
from duologue.agents.config import Cast
from duologue.agents.effects import Call
from duologue.agents.guardrails import InputGuardrail, OutputGuardrail
from duologue.agents.mcp import tools_of
from duologue.agents.tools import AgentTool, BackgroundResult, Condition, RunContext, Verdict
from duologue.dialogue.tools import ToolArguments, error_text, output_text
from duologue.errors import ConfigError

NOT_ALLOWED = "The call was not allowed."
_Guardrail = TypeVar("_Guardrail", InputGuardrail, OutputGuardrail)
_log = logging.getLogger(__name__)


async def call(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """The function's result. Cancelling it cancels a coroutine; a thread runs to its end, unheard."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        return await function(*arguments, **named)
    result = await asyncio.to_thread(function, *arguments, **named)
    return await result if inspect.isawaitable(result) else result


async def _holds(condition: Condition, *arguments: Any) -> bool:
    return condition if isinstance(condition, bool) else bool(await call(condition, *arguments))


async def make_cast(
    agent: RealtimeAgent,
    context: RunContext[Any],
    output_guardrails: Sequence[OutputGuardrail] = (),
    input_guardrails: Sequence[InputGuardrail] = (),
) -> Cast:
    """The agent ready to speak, with the session's guardrails beside its own. Raises ConfigError for two tools of one name,
    and whatever the application's functions raise."""
    words = agent.instructions
    if not isinstance(words, str):
        words = str(await call(words, context, agent))
    prompt = agent.prompt
    if callable(prompt):
        prompt = await call(prompt, context, agent)
    tools = {tool.name: tool for tool in agent.function_tools() if await _holds(tool.is_enabled, context, agent)}
    ways = {way.name: way for way in agent.ways_out() if await _holds(way.is_enabled, context, agent)}
    for server in agent.mcp_servers:
        for tool in await tools_of(server):
            if tool.name in tools or tool.name in ways:
                raise ConfigError(f"agent {agent.name!r} has two tools named {tool.name!r}")
            tools[tool.name] = tool
    return Cast(
        agent=agent,
        instructions=words,
        prompt=prompt,
        tools=tools,
        ways=ways,
        remote=tuple(agent.remote_tools()),
        output_guardrails=_distinct(output_guardrails, agent.output_guardrails),
        input_guardrails=_distinct(input_guardrails, agent.input_guardrails),
    )


def _distinct(*several: Sequence[_Guardrail]) -> tuple[_Guardrail, ...]:
    found: dict[int, _Guardrail] = {id(each): each for guardrails in several for each in guardrails}
    return tuple(found.values())


async def consider(wanted: Call, tool: AgentTool, context: RunContext[Any]) -> Decision:
    """Whether a call may run: the tool is on, the arguments fit, its guardrails allow it, and nobody has to be asked."""
    try:
        if not await _holds(tool.is_enabled, context, wanted.agent):
            return Decision(kind="refuse", output=error_text(f"there is no tool named {tool.name!r} now"))
        arguments = tool.arguments(wanted.wire.arguments)
        for guardrail in tool.input_guardrails:
            verdict = _verdict(await call(guardrail, context, tool, arguments))
            if verdict.tripped:
                return Decision(kind="refuse", output=error_text(verdict.message or NOT_ALLOWED))
        asks = await _holds(tool.needs_approval, context, arguments)
        return Decision(kind="ask" if asks else "run")
    except ToolArguments as problem:
        return Decision(kind="refuse", output=error_text(str(problem)))
    except Exception:
        # Who cannot tell whether a call is allowed does not allow it.
        _log.exception("a condition of tool %r failed", tool.name)
        return Decision(kind="refuse", output=error_text(NOT_ALLOWED))


async def run_tool(wanted: Call, tool: AgentTool, context: RunContext[Any]) -> Outcome:
    """The tool's output; a failure of any kind is an output that says so."""
    try:
        arguments = tool.arguments(wanted.wire.arguments)
        first = (context,) if tool.takes_context else ()
        async with asyncio.timeout(tool.timeout_s) as deadline:
            result = await call(tool.function, *first, **arguments)
        respond = not isinstance(result, BackgroundResult)
        output = output_text(result.output if isinstance(result, BackgroundResult) else result)
        for guardrail in tool.output_guardrails:
            verdict = _verdict(await call(guardrail, context, tool, output))
            if verdict.tripped:
                return Outcome(output=error_text(verdict.message or "The result must not be used."))
        return Outcome(output=output, respond=respond)
    except TimeoutError as problem:
        if not deadline.expired():
            return _failed(tool, context, problem)
        return _failed(tool, context, TimeoutError(f"it took longer than {tool.timeout_s:g} seconds and was given up"))
    except Exception as problem:
        return _failed(tool, context, problem)


def _failed(tool: AgentTool, context: RunContext[Any], problem: Exception) -> Outcome:
    _log.warning("tool %r failed", tool.name, exc_info=problem)
    if tool.failure is not None:
        try:
            return Outcome(output=output_text(tool.failure(context, problem)))
        except Exception:
            # The model is answered all the same: nobody waits for a call that ended.
            _log.exception("what tells of failures of tool %r failed", tool.name)
    return Outcome(output=error_text(f"{type(problem).__name__}: {problem}"))


async def look(
    guardrails: Sequence[_Guardrail], context: RunContext[Any], agent: RealtimeAgent, text: str
) -> list[tuple[_Guardrail, Verdict]]:
    """What each guardrail finds in the text, all at the same time. One that fails counts as tripped: what could not be
    checked is not said."""
    verdicts = await asyncio.gather(*(_look(each, context, agent, text) for each in guardrails))
    return list(zip(guardrails, verdicts, strict=True))


async def _look(
    guardrail: InputGuardrail | OutputGuardrail, context: RunContext[Any], agent: RealtimeAgent, text: str
) -> Verdict:
    try:
        return _verdict(await call(guardrail.execute, context, agent, text))
    except Exception as problem:
        _log.exception("guardrail %r failed", guardrail.name)
        return Verdict(tripped=True, info=problem)


def _verdict(found: Verdict | bool | None) -> Verdict:
    return found if isinstance(found, Verdict) else Verdict(tripped=bool(found))
