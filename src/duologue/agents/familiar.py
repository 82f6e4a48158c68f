"""Names that users of the agents SDKs look for, and what they are here; each can be imported from `duologue.agents`."""

from __future__ import annotations

from duologue.agents.agent import AgentHooks as RealtimeAgentHooks
from duologue.agents.agent import realtime_handoff as handoff
from duologue.agents.config import DEFAULTS as DEFAULT_MODEL_SETTINGS
from duologue.agents.guardrails import OutputGuardrail as RealtimeOutputGuardrail
from duologue.agents.history import HistoryItem as RealtimeItem
from duologue.agents.tools import RunContext as RunContextWrapper
from duologue.agents.tools import function_tool as tool
from duologue.client.endpoint import ConnectionOptions as TransportConfig
from duologue.client.thin import (
    CloudflareRealtimeTransportLayer,
    OpenAIRealtimeSIPModel,
    OpenAIRealtimeWebSocketModel,
    RealtimeModel,
    RealtimeTransportLayer,
)
from duologue.clock import Clock, monotonic_ms
from duologue.transports.carriers.twilio import Twilio
from duologue.transports.phone import MessagePipe, PhonePort

__all__ = [
    "DEFAULT_MODEL_SETTINGS",
    "CloudflareRealtimeTransportLayer",
    "OpenAIRealtimeSIPModel",
    "OpenAIRealtimeWebSocketModel",
    "RealtimeAgentHooks",
    "RealtimeItem",
    "RealtimeModel",
    "RealtimeOutputGuardrail",
    "RealtimeTransportLayer",
    "RunContextWrapper",
    "TransportConfig",
    "TwilioRealtimeTransportLayer",
    "handoff",
    "tool",
]


class TwilioRealtimeTransportLayer(PhonePort):
    """A call of Twilio's Media Streams on a WebSocket that the application holds (`phone_app` holds its own). Enter it,
    then hand it to a session: `RealtimeSession(agent, call)`."""

    def __init__(self, twilio_websocket: MessagePipe, *, clock: Clock = monotonic_ms) -> None:
        super().__init__(Twilio(), twilio_websocket, clock=clock)
