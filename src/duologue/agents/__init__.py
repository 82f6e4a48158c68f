"""Agents: tools, handoffs, guardrails and interruptions on any transport. Names load on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duologue.agents.agent import AgentHooks, Handoff, RealtimeAgent, realtime_handoff
    from duologue.agents.guardrails import (
        GuardrailSettings,
        InputGuardrail,
        OutputGuardrail,
        input_guardrail,
        output_guardrail,
    )
    from duologue.agents.history import (
        AssistantMessageItem,
        RealtimeToolCallItem,
        SystemMessageItem,
        UserMessageItem,
    )
    from duologue.agents.runner import RealtimeRunner
    from duologue.agents.session import RealtimeSession
    from duologue.agents.settings import SessionSettings
    from duologue.agents.tools import AgentTool, RunContext, Verdict, background_result, function_tool

_HOMES = {
    "agent": ("AgentHooks", "Handoff", "RealtimeAgent", "realtime_handoff"),
    "guardrails": ("GuardrailSettings", "InputGuardrail", "OutputGuardrail", "input_guardrail", "output_guardrail"),
    "history": ("AssistantMessageItem", "RealtimeToolCallItem", "SystemMessageItem", "UserMessageItem"),
    "runner": ("RealtimeRunner",),
    "session": ("RealtimeSession",),
    "settings": ("SessionSettings",),
    "tools": ("AgentTool", "RunContext", "Verdict", "background_result", "function_tool"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AgentHooks",
    "AgentTool",
    "AssistantMessageItem",
    "GuardrailSettings",
    "Handoff",
    "InputGuardrail",
    "OutputGuardrail",
    "RealtimeAgent",
    "RealtimeRunner",
    "RealtimeSession",
    "RealtimeToolCallItem",
    "RunContext",
    "SessionSettings",
    "SystemMessageItem",
    "UserMessageItem",
    "Verdict",
    "background_result",
    "function_tool",
    "input_guardrail",
    "output_guardrail",
    "realtime_handoff",
]


def __getattr__(name: str) -> Any:
    """Import the public name from its home."""
    if name in _HOME_OF:
        return getattr(import_module(f"duologue.agents.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'duologue.agents' has no attribute {name!r}")
