"""The tool calls of a session: which tool is meant, whether it may run, and that each is answered once. Pure.

The tools that count are those of the agent that spoke when the response began. What waits for a person blocks the other
calls' answer but nobody's speech: the response that follows has all the outputs.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from msgspec import Struct

from duologue.agents.config import Cast
from duologue.agents.effects import (
    Answer,
    AwaitDecision,
    Call,
    Consider,
    Effect,
    HandOver,
    Hook,
    Note,
    Respond,
    RunTool,
    Tell,
)
from duologue.agents.events import ToolApprovalRequired, ToolEnd, ToolStart
from duologue.agents.tools import AgentTool
from duologue.dialogue.tools import error_text
from duologue.errors import ConfigError
from duologue.protocol.items import FunctionCall

AT_ONCE = 64
REJECTED = "The user did not allow this call."
OVERDUE = "Nobody decided in time whether this call is allowed: it was not made."
_REMEMBERED = 256
_CASTS = 32
_STRANGERS = 3
_RUNNING = '{"status": "running", "note": "The result comes later. Say so in a few words."}'
_NEWS = "The tool {name} that was called earlier (call {call_id}) has now answered:\n{output}"


class Decision(Struct, frozen=True, kw_only=True):
    """Whether a call may run, after all that could be asked without a person; `output` is the answer to a refused one."""

    kind: Literal["run", "ask", "refuse"]
    output: str = ""


class Outcome(Struct, frozen=True, kw_only=True):
    """What a tool gave; `respond`: the model is to speak about it."""

    output: str
    respond: bool = True


class ToolRules(Struct, frozen=True, kw_only=True):
    """What holds for the tools of a session. `respond_to_mcp`: the model speaks about what the Realtime server's own tools
    brought."""

    approval_timeout_s: float | None = None
    rejection_message: str = REJECTED
    respond_to_mcp: bool = True


class Calls:
    """All calls of one session."""

    def __init__(self, rules: ToolRules) -> None:
        self._rules = rules
        self._casts: OrderedDict[str, Cast] = OrderedDict()
        self._open: dict[str, tuple[Call, AgentTool | None]] = {}
        self._waiting: dict[str, tuple[Call, AgentTool]] = {}
        self._answered: OrderedDict[str, str] = OrderedDict()
        self._always: dict[str, bool] = {}
        self._handing = ""
        self._strangers = 0

    @property
    def waiting(self) -> tuple[Call, ...]:
        """Calls that wait for a person."""
        return tuple(call for call, _ in self._waiting.values())

    def user_spoke(self) -> None:
        """A new turn: the model may err anew."""
        self._strangers = 0

    def response_began(self, response_id: str, cast: Cast) -> None:
        """The tools of this moment are the response's, whoever takes over meanwhile."""
        self._casts[response_id] = cast
        while len(self._casts) > _CASTS:
            self._casts.popitem(last=False)

    def cast_of(self, response_id: str, current: Cast) -> Cast:
        """Who speaks in the response."""
        return self._casts.get(response_id, current)

    def called(self, response_id: str, wire: FunctionCall, current: Cast) -> list[Effect]:
        """The model calls a tool."""
        cast = self.cast_of(response_id, current)
        call = Call(response_id=response_id, agent=cast.agent, wire=wire)
        call_id = call.call_id
        if call_id in self._answered:
            return [Answer(call=call, output=self._answered[call_id], respond=False)]
        if call_id in self._open:
            return []
        if len(self._open) >= AT_ONCE:
            return self._answer(call, error_text(f"{AT_ONCE} tools are at work already"))
        if way := cast.ways.get(wire.name):
            if self._handing:
                return self._answer(call, error_text("the conversation is being handed over already"))
            self._handing = call_id
            self._open[call_id] = (call, None)
            return [HandOver(call=call, way=way)]
        tool = cast.tools.get(wire.name)
        if tool is None:
            # The model hears of it and speaks, so that nobody waits in silence; but not for ever.
            self._strangers += 1
            problem = error_text(f"there is no tool named {wire.name!r}")
            return self._answer(call, problem, respond=self._strangers <= _STRANGERS)
        self._open[call_id] = (call, tool)
        return [Consider(call=call, tool=tool)]

    def considered(self, call: Call, tool: AgentTool, decision: Decision) -> list[Effect]:
        """Whether it may run is known."""
        if call.call_id not in self._open:
            return []
        kind = decision.kind
        if kind == "ask" and tool.name in self._always:
            if not self._always[tool.name]:
                return self._refuse(call, self._rules.rejection_message)
            kind = "run"
        if kind == "refuse":
            return self._refuse(call, decision.output)
        if kind == "run":
            return self._run(call, tool)
        self._waiting[call.call_id] = (call, tool)
        asked = ToolApprovalRequired(
            agent=call.agent,
            tool=tool.name,
            call_id=call.call_id,
            arguments=call.wire.arguments,
            response_id=call.response_id,
        )
        timeout_s = tool.approval_timeout_s or self._rules.approval_timeout_s
        return [Tell(asked), *([AwaitDecision(call_id=call.call_id, timeout_s=timeout_s)] if timeout_s else [])]

    def overdue(self, call_id: str) -> list[Effect]:
        """Nobody has decided in time."""
        return self.reject(call_id, always=False, message=OVERDUE) if call_id in self._waiting else []

    def approve(self, call_id: str, *, always: bool) -> list[Effect]:
        """A person allows the call. Raises ConfigError where it does not wait."""
        call, tool = self._decided(call_id)
        if always:
            self._always[tool.name] = True
        return self._run(call, tool)

    def reject(self, call_id: str, *, always: bool, message: str) -> list[Effect]:
        """A person forbids it."""
        call, tool = self._decided(call_id)
        if always:
            self._always[tool.name] = False
        return self._refuse(call, message or self._rules.rejection_message)

    def done(self, call_id: str, outcome: Outcome) -> list[Effect]:
        """The tool has answered."""
        call, tool = self._open.get(call_id, (None, None))
        if call is None or tool is None:
            return []
        ended = self._ended(call, outcome.output)
        if tool.background:
            del self._open[call_id]
            news = _NEWS.format(name=tool.name, call_id=call_id, output=outcome.output)
            return [*ended, Note(text=news), *([Respond()] if outcome.respond else [])]
        return [*ended, *self._answer(call, outcome.output, respond=outcome.respond)]

    def handed(self, call: Call, output: str, *, respond: bool = True) -> list[Effect]:
        """A handoff succeeded, or did not."""
        if self._handing == call.call_id:
            self._handing = ""
        return self._answer(call, output, respond=respond)

    def _decided(self, call_id: str) -> tuple[Call, AgentTool]:
        if call_id not in self._waiting:
            raise ConfigError(f"no call {call_id!r} waits for approval")
        return self._waiting.pop(call_id)

    def _run(self, call: Call, tool: AgentTool) -> list[Effect]:
        started = ToolStart(
            agent=call.agent,
            tool=tool.name,
            call_id=call.call_id,
            arguments=call.wire.arguments,
            response_id=call.response_id,
        )
        effects: list[Effect] = [Tell(started), Hook(agent=call.agent, name="on_tool_start", arguments=(tool,))]
        if tool.background:
            self._remember(call.call_id, _RUNNING)
            effects.append(Answer(call=call, output=_RUNNING))
        effects.append(RunTool(call=call, tool=tool))
        if tool.filler:
            effects.append(Respond(instructions=tool.filler, verbatim=True, purpose="filler"))
        return effects

    def _refuse(self, call: Call, output: str) -> list[Effect]:
        return [*self._ended(call, output), *self._answer(call, output)]

    def _ended(self, call: Call, output: str) -> list[Effect]:
        name, agent = call.wire.name, call.agent
        tool = self._open.get(call.call_id, (call, None))[1]
        ended = ToolEnd(
            agent=agent,
            tool=name,
            call_id=call.call_id,
            arguments=call.wire.arguments,
            output=output,
            response_id=call.response_id,
        )
        return [Tell(ended), Hook(agent=agent, name="on_tool_end", arguments=(tool, output))]

    def _answer(self, call: Call, output: str, *, respond: bool = True) -> list[Effect]:
        self._open.pop(call.call_id, None)
        self._remember(call.call_id, output)
        return [Answer(call=call, output=output, respond=respond)]

    def _remember(self, call_id: str, output: str) -> None:
        self._answered[call_id] = output
        while len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)
