"""The tools of an agent: a function with its schema, and when it may run. Pure.

A first parameter annotated as `RunContext`, or named `context` without an annotation, gets the session's context and is no
part of the schema.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from duologue.dialogue import tools as schemas
from duologue.errors import ConfigError
from duologue.protocol.session import FunctionTool

Context = TypeVar("Context")


@dataclass(kw_only=True)
class RunContext(Generic[Context]):
    """What tools, instructions and guardrails get: `value` is the application's own object, `history` a copy of the
    conversation so far, `call_id` the tool call that is being answered (empty outside of one)."""

    value: Context
    history: Sequence[Any] = ()
    call_id: str = ""

    @property
    def context(self) -> Context:
        """The same as `value`."""
        return self.value


Answer = bool | Awaitable[bool]
Condition = bool | Callable[..., Answer]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a guardrail found. `info` is for the application, `message` for the model."""

    tripped: bool
    info: Any = None
    message: str = ""


ToolGuardrail = Callable[..., "Verdict | bool | Awaitable[Verdict | bool]"]


@dataclass(frozen=True, kw_only=True)
class BackgroundResult:
    """A tool's output that the model is to know and not to speak about now."""

    output: Any


def background_result(output: Any) -> BackgroundResult:
    """Return this from a tool: the output enters the conversation, and no response is asked for."""
    return BackgroundResult(output=output)


@dataclass(frozen=True, kw_only=True)
class AgentTool:
    """A function that the model may call.

    `needs_approval` and `is_enabled`: true, false or a function (of context and arguments; of context and agent).
    `approval_timeout_s`: a call that nobody has decided about after so long is refused. `timeout_s`: the model is told so
    when it takes longer. `failure(context, problem)` turns an exception, a TimeoutError too, into what the model reads.
    `background`: the model is told at once that the tool runs, and gets the result as news. `filler` is said while it runs.
    """

    definition: FunctionTool
    function: Callable[..., Any]
    takes_context: bool = False
    needs_approval: Condition = False
    approval_timeout_s: float | None = None
    is_enabled: Condition = True
    timeout_s: float | None = None
    input_guardrails: tuple[ToolGuardrail, ...] = ()
    output_guardrails: tuple[ToolGuardrail, ...] = ()
    failure: Callable[[RunContext[Any], Exception], str] | None = None
    background: bool = False
    filler: str = ""

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.definition.name

    def arguments(self, text: str) -> dict[str, Any]:
        """Keyword arguments out of the model's JSON text. Raises ToolArguments."""
        return schemas.arguments_for(self.function, self.definition, text, skip=int(self.takes_context))


_OPTIONS = {
    "name", "description", "needs_approval", "is_enabled", "timeout_s", "input_guardrails", "output_guardrails", "failure",
    "background", "filler", "approval_timeout_s",
}  # fmt: skip
_ALIASES = {
    "name_override": "name",
    "description_override": "description",
    "timeout": "timeout_s",
    "failure_error_function": "failure",
    "tool_input_guardrails": "input_guardrails",
    "tool_output_guardrails": "output_guardrails",
}
"""Names that users of the agents SDK for Python bring along."""


@overload
def function_tool(function: Callable[..., Any], /) -> AgentTool: ...
@overload
def function_tool(**options: Any) -> Callable[[Callable[..., Any]], AgentTool]: ...


def function_tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a tool of a function; as `@function_tool` or `@function_tool(needs_approval=True, timeout_s=5)`.

    `name` and `description` replace what signature and docstring say; the other options are those of `AgentTool`, and the
    agents SDK's names for them are understood. Plain functions run in threads. Raises ConfigError.
    """
    if function is None:
        return lambda decorated: function_tool_of(decorated, options)
    return function_tool_of(function, options)


def function_tool_of(function: Callable[..., Any], options: Mapping[str, Any]) -> AgentTool:
    """The tool behind `function_tool`."""
    rest = {_ALIASES.get(option, option): value for option, value in options.items()}
    if strangers := sorted(set(rest) - _OPTIONS):
        raise ConfigError(f"a tool has no option {', '.join(strangers)}; known: {', '.join(sorted(_OPTIONS))}")
    name, description = rest.pop("name", None), rest.pop("description", None)
    for guards in ("input_guardrails", "output_guardrails"):
        rest[guards] = tuple(rest.get(guards, ()))
    takes_context = _takes_context(function)
    skip = int(takes_context)
    definition = schemas.function_tool(function, name=name, description=description, skip=skip)
    return AgentTool(definition=definition, function=function, takes_context=takes_context, **rest)


def _takes_context(function: Callable[..., Any]) -> bool:
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None:
        return False
    try:
        hint = typing.get_type_hints(function).get(first.name)
    except (NameError, TypeError):  # a name that only the type checker knows
        hint = first.annotation if first.annotation is not first.empty else None
    if isinstance(hint, str):
        return hint.partition("[")[0].rpartition(".")[2] == RunContext.__name__
    if hint is None:
        return first.name == "context"
    return typing.get_origin(hint) is RunContext or hint is RunContext
