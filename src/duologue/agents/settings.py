"""How a session behaves beyond its agents: guardrails, addresses, money, names of traces. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from duologue.agents.guardrails import GuardrailSettings, InputGuardrail, OutputGuardrail
from duologue.client.api import ApiKey
from duologue.client.endpoint import ConnectionOptions
from duologue.client.reconnect import ReconnectPolicy
from duologue.dialogue.cost import PriceTable
from duologue.transports.call_address import IceServer


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """What is seldom set.

    `url` and `api_key` are those of `connect`, where it is not told others. The guardrails here stand beside those of every
    agent; `guardrails` says when they look. `budget_usd` ends the conversation when it has cost so much. `reconnect=False`:
    a drop is the end. `history_audio`: items of the history carry their sound. `workflow_name`, `group_id` and
    `trace_metadata` name the provider's trace; `tracing_disabled` asks for none.
    """

    url: str | None = None
    api_key: ApiKey | None = None
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    reconnect: bool | ReconnectPolicy = True
    budget_usd: float | None = None
    prices: PriceTable | None = None
    ice_servers: tuple[IceServer, ...] = ()
    guardrails: GuardrailSettings = field(default_factory=GuardrailSettings)
    output_guardrails: tuple[OutputGuardrail, ...] = ()
    input_guardrails: tuple[InputGuardrail, ...] = ()
    history_audio: bool = False
    workflow_name: str = ""
    group_id: str = ""
    trace_metadata: Mapping[str, Any] = field(default_factory=dict)
    tracing_disabled: bool = False

    def tracing(self) -> dict[str, Any]:
        """As the session has it; empty where nothing was said."""
        if self.tracing_disabled:
            return {"tracing": None}
        named = {"workflow_name": self.workflow_name, "group_id": self.group_id, "metadata": dict(self.trace_metadata)}
        named = {name: value for name, value in named.items() if value}
        return {"tracing": named} if named else {}
