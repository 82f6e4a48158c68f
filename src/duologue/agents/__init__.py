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
    from duologue.agents.span import Span
    from duologue.agents.tools import AgentTool, RunContext, Verdict, background_result, function_tool
    from duologue.agents.tracker import RealtimePlaybackTracker
    from duologue.client.thin import OpenAIRealtimeSIP, OpenAIRealtimeWebRTC, OpenAIRealtimeWebSocket

_HOMES = {
    "agent": ("AgentHooks", "Handoff", "RealtimeAgent", "realtime_handoff"),
    "guardrails": ("GuardrailSettings", "InputGuardrail", "OutputGuardrail", "input_guardrail", "output_guardrail"),
    "history": ("AssistantMessageItem", "RealtimeToolCallItem", "SystemMessageItem", "UserMessageItem"),
    "runner": ("RealtimeRunner",),
    "session": ("RealtimeSession",),
    "settings": ("SessionSettings",),
    "span": ("Span",),
    "tools": ("AgentTool", "RunContext", "Verdict", "background_result", "function_tool"),
    "tracker": ("RealtimePlaybackTracker",),
}
_HOME_OF = {name: f"duologue.agents.{home}" for home, names in _HOMES.items() for name in names} | dict.fromkeys(
    ("OpenAIRealtimeSIP", "OpenAIRealtimeWebRTC", "OpenAIRealtimeWebSocket"), "duologue.client.thin"
)

__all__ = [
    "AgentHooks",
    "AgentTool",
    "AssistantMessageItem",
    "GuardrailSettings",
    "Handoff",
    "InputGuardrail",
    "OpenAIRealtimeSIP",
    "OpenAIRealtimeWebRTC",
    "OpenAIRealtimeWebSocket",
    "OutputGuardrail",
    "RealtimeAgent",
    "RealtimePlaybackTracker",
    "RealtimeRunner",
    "RealtimeSession",
    "RealtimeToolCallItem",
    "RunContext",
    "SessionSettings",
    "Span",
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
    """Import the public name from its home; those that only other SDKs have are in `familiar`."""
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    if not name.startswith("_"):
        familiar = import_module("duologue.agents.familiar")
        if name in familiar.__all__:
            return getattr(familiar, name)
    raise AttributeError(f"module 'duologue.agents' has no attribute {name!r}")
